//! Text in CSV that spreadsheets show and do not run.

/// Returns a text that a spreadsheet shows unchanged. A quote is put before whatever begins
/// like a formula, as OWASP advises ("CSV Injection"): also after the characters that
/// separate cells in some countries, and in full-width forms. The same goes for whatever
/// reads as a number or a date, such as the id `1e5`.
pub(super) fn as_text(cell: &str) -> String {
    let is_formula = |c: char| {
        matches!(
            c,
            '=' | '+' | '-' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠'
        )
    };
    let is_separator = |c: char| matches!(c, ';' | ',' | '|' | '\t' | '\r' | '\n' | '"');
    let is_date = |c: char| c.is_ascii_digit() || matches!(c, '-' | '/' | '.' | ':' | ' ');
    let is_number = cell.parse::<f64>().is_ok() || (!cell.is_empty() && cell.chars().all(is_date));
    let mut text = String::with_capacity(cell.len());
    let mut before = ';';
    if is_number && !cell.starts_with(is_formula) {
        text.push('\'');
    }
    for c in cell.chars() {
        if is_separator(before) && is_formula(c) {
            text.push('\'');
        }
        text.push(c);
        before = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_as_it_is_in_every_country() {
        for (cell, expected) in [
            ("a;=1+1", "a;'=1+1"),
            ("a\t+1", "a\t'+1"),
            ("a\n@x", "a\n'@x"),
            ("＝1+1", "'＝1+1"),
            ("1e5", "'1e5"),
            ("00123", "'00123"),
            ("2026-01-02", "'2026-01-02"),
            ("1/2", "'1/2"),
            ("-1", "'-1"),
            ("nan", "'nan"),
            ("", ""),
            ("campaign-1", "campaign-1"),
            (
                "0190a8c2-b5c2-7e3f-8000-000000000000",
                "0190a8c2-b5c2-7e3f-8000-000000000000",
            ),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(as_text(cell), expected);
        }
    }
}
