//! Lists in columns.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::sanitize::one_line;

/// The longest that a cell may be; stored text can be any length.
const LONGEST: usize = 100;

/// Writes rows in aligned columns, under a heading if there is one. Cells are made harmless.
pub(crate) fn columns<const N: usize>(
    out: &mut impl Write,
    heading: Option<[&str; N]>,
    rows: &[[String; N]],
) -> io::Result<()> {
    let rows: Vec<[String; N]> = heading
        .map(|heading| heading.map(str::to_owned))
        .iter()
        .chain(rows)
        .map(|row| row.each_ref().map(|cell| one_line(cell, LONGEST)))
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.width() + 2));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_harmless() {
        let mut out = Vec::new();
        let rows = [
            ["漢字".to_owned(), "1".to_owned()],
            ["a\x1b[2J\nb".to_owned(), "22".to_owned()],
        ];
        columns(&mut out, Some(["NAME", "N"]), &rows).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
NAME    N
漢字    1
a[2J b  22
"#);
    }
}
