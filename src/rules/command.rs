//! Finds a command in a comment: at the start of a line, neither quoted nor in a block of code.

/// What follows the first of `commands` in the comment, to its end; `None` when it holds none of them.
pub(super) fn args(comment: &str, commands: &[String]) -> Option<String> {
    let mut fence: Option<(char, usize)> = None;
    let mut at = 0;
    for line in comment.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let inner = line.trim_start_matches(' ');
        let indent = line.len() - inner.len();
        let mark = inner.chars().next().filter(|c| matches!(c, '`' | '~'));
        let run = mark.map_or(0, |mark| inner.chars().take_while(|c| *c == mark).count());
        if let Some((open, length)) = fence {
            if mark == Some(open) && run >= length && inner.trim_end().chars().all(|c| c == open) {
                fence = None;
            }
            continue;
        }
        if let Some(mark) = mark.filter(|_| run >= 3) {
            fence = Some((mark, run));
            continue;
        }
        // Four spaces, a tab or `>` begin code and quotations in Markdown.
        if indent >= 4 || inner.starts_with(['>', '\t']) {
            continue;
        }
        for command in commands {
            let Some(head) = inner.get(..command.len()) else { continue };
            let rest = &inner[command.len()..];
            let ends =
                rest.chars().next().is_none_or(|c| c.is_whitespace() || matches!(c, ':' | ',' | '.' | '!' | '?'));
            if head.eq_ignore_ascii_case(command) && ends {
                let from = start + indent + command.len();
                let args = comment[from..].trim_start_matches([':', ',', '.', '!', '?']).trim();
                return Some(args.to_owned());
            }
        }
    }
    None
}
