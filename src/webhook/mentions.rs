//! Which tickets and issues the name of a branch or the title of a change seems to mention. What is not known is no
//! link: the store looks each of them up.

/// More than these are not looked up for one branch and title.
const MOST: usize = 8;

/// Titles are read as far as this, in bytes.
const READ: usize = 512;

/// Aliases of tickets (`"OPS-17"`) and keys of issues of the same repository (`"github.com/acme/widgets#17"`).
pub(super) fn of(host: &str, repo: &str, branch: Option<&str>, title: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut add = |mention: String| {
        if found.len() < MOST && !found.contains(&mention) {
            found.push(mention);
        }
    };
    if let Some(branch) = branch {
        for key in ticket_keys(branch) {
            add(key.to_ascii_uppercase());
        }
        for number in issue_numbers(branch) {
            add(format!("{host}/{repo}#{number}"));
        }
    }
    if let Some(title) = title {
        for key in ticket_keys(title).into_iter().filter(|key| !key.bytes().any(|b| b.is_ascii_lowercase())) {
            add(key.to_owned());
        }
    }
    found
}

/// Everything of the form `OPS-17`: a word that begins with a letter, a dash, a number.
fn ticket_keys(text: &str) -> Vec<&str> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let end = (0..=READ.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let bytes = &text.as_bytes()[..end];
    let mut found = Vec::new();
    for (dash, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'-') {
        let start = bytes[..dash].iter().rposition(|b| !is_word(*b)).map_or(0, |at| at + 1);
        let digits = bytes[dash + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let after = dash + 1 + digits;
        let word = &bytes[start..dash];
        let is_key = word.len() >= 2
            && word[0].is_ascii_alphabetic()
            && digits > 0
            && bytes[dash + 1] != b'0'
            && bytes.get(after).is_none_or(|b| !is_word(*b) || *b == b'_');
        if is_key {
            found.push(&text[start..after]);
        }
    }
    found
}

/// The number in `17-fix`, `issue-17`, `gh-17`, `issues/17`, in each part of a branch's name.
fn issue_numbers(branch: &str) -> Vec<u64> {
    const WORDS: [&str; 3] = ["issue", "issues", "gh"];
    let is_issue = |word: &str| WORDS.iter().any(|known| known.eq_ignore_ascii_case(word));
    let mut found = Vec::new();
    let mut before = "";
    for part in branch.split('/') {
        let mut words = part.split(['-', '_']);
        let (first, second) = (words.next().unwrap_or_default(), words.next());
        let named = |word: Option<&str>| word.is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic()));
        let digits = if is_issue(first) {
            second
        } else if named(second) || (second.is_none() && is_issue(before)) {
            // A second number makes it a date or a version.
            Some(first)
        } else {
            None
        };
        let number = digits.filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        found.extend(number.and_then(|digits| digits.parse::<u64>().ok()).filter(|number| *number > 0));
        before = part;
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn tickets_and_issues_are_found_where_people_name_them() {
        let of = |branch: &str, title: &str| super::of("h", "o/r", Some(branch), Some(title)).join(" ");
        for (branch, title, found) in [
            ("feature/OPS-17-x", "", "OPS-17"),
            ("ops-17", "", "OPS-17"),
            ("fix_OPS-17", "", "FIX_OPS-17"),
            ("main", "OPS-17: mend it (see PAY-3)", "OPS-17 PAY-3"),
            ("main", "[OPS-17] OPS-17 again", "OPS-17"),
            ("main", "bump node-20, x-17, OPS-017, OPS-17a, 7-17", ""),
            ("17-fix", "", "h/o/r#17"),
            ("mia/17-fix", "#4", "h/o/r#17"),
            ("issue-17", "", "ISSUE-17 h/o/r#17"),
            ("issues/17", "", "h/o/r#17"),
            ("gh-17-mend", "", "GH-17 h/o/r#17"),
            ("2026-03-01-release", "", ""),
            ("release/17", "", ""),
            ("17", "", ""),
            ("99999999999999999999-fix", "", ""),
            ("main", "Übung-7 ÄOPS-17", "OPS-17"),
        ] {
            assert_eq!(of(branch, title), found, "{branch} {title}");
        }
    }

    #[test]
    fn a_title_of_nothing_else_is_read_to_a_point() {
        let title = "A-1 ".repeat(10) + &"OPS-1 OPS-2 ".repeat(1000) + "ü";
        assert_eq!(super::of("h", "o/r", None, Some(&title)), ["OPS-1", "OPS-2"]);
        let many: Vec<String> = (1..100).map(|n| format!("OPS-{n}")).collect();
        assert_eq!(super::of("h", "o/r", None, Some(&many.join(" "))).len(), super::MOST);
    }
}
