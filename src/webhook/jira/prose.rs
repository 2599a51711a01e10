//! What people write in Jira: wiki text as it stands, or the Atlassian Document Format as plain text.

use serde::de::MapAccess;

use crate::webhook::tolerant::{self, Object};

/// Plain text is cut at this size, like every other text that is read.
const MAX_BYTES: usize = 256 * 1024;

/// A description or comment as plain text.
#[derive(Clone, Debug)]
pub(super) struct Prose(pub(super) String);

tolerant::objects! {
    /// A node of the Atlassian Document Format (developer.atlassian.com, "Atlassian Document Format").
    struct Node {
        kind("type"): Option<String>,
        text: Option<String>,
        attributes("attrs"): Option<Attributes>,
        content: Vec<Node>,
    }

    struct Attributes { text: Option<String>, url: Option<String> }
}

impl Prose {
    /// Reads a document; the check of the whole body bounds its depth.
    pub(super) fn from_document<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let mut text = String::new();
        write(&Node::from_map(map)?, &mut text);
        text.truncate(text.trim_end().len());
        Ok(Self(text))
    }
}

fn write(node: &Node, text: &mut String) {
    let kind = node.kind.as_deref().unwrap_or_default();
    let shown = node.text.as_ref().or_else(|| {
        let attributes = node.attributes.as_ref()?;
        attributes.text.as_ref().or(attributes.url.as_ref())
    });
    if let Some(shown) = shown
        && text.len() + shown.len() <= MAX_BYTES
    {
        text.push_str(shown);
    }
    for child in &node.content {
        write(child, text);
    }
    let ends_line = matches!(kind, "paragraph" | "heading" | "codeBlock" | "hardBreak" | "rule" | "tableRow");
    if ends_line && text.len() < MAX_BYTES {
        text.push('\n');
    }
}
