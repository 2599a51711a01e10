//! The JSON inside a form-encoded body, as GitHub sends it where a hook asks for that.

/// The one `payload` field of a form-encoded body, decoded to bytes that are still to be checked.
pub(super) fn form_payload(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut payloads = body.split(|byte| *byte == b'&').filter_map(|field| field.strip_prefix(b"payload="));
    match (payloads.next(), payloads.next()) {
        (Some(payload), None) => Ok(percent_decode(payload)),
        (None, _) => Err("the form has no payload field".to_owned()),
        (Some(_), Some(_)) => Err("the form has more than one payload field".to_owned()),
    }
}

/// Undoes form encoding without replacing bytes that are no UTF-8: those are to be refused, not mended.
fn percent_decode(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        let mut escaped = [0];
        rest = match byte {
            b'%' if after.len() >= 2 && hex::decode_to_slice(&after[..2], &mut escaped).is_ok() => {
                decoded.push(escaped[0]);
                &after[2..]
            }
            b'+' => {
                decoded.push(b' ');
                after
            }
            other => {
                decoded.push(other);
                after
            }
        };
    }
    decoded
}
