//! Secrets: inline, in a file of their own, or from the environment; never shown.

use secrecy::SecretString;

/// A secret with the name under which it may be shown.
#[derive(Clone, Debug)]
pub struct LabeledSecret {
    /// Shown instead of the secret, e.g. with the delivery that it verified.
    pub label: String,
    /// The secret itself, at least 16 bytes.
    pub secret: SecretString,
}
