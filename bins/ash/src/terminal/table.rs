//! Tables, laid out to the width of the terminal.

use anstyle::Style;

use super::inline;
use super::styled::{Row, Styled};

/// Below this a column cannot be read, and the table is shown as it was written.
const NARROWEST: usize = 4;
const SEPARATOR: &str = " │ ";

#[derive(Clone, Copy)]
enum Align {
    Left,
    Centre,
    Right,
}

/// Lays out the lines of a table; `None` where they are none, or do not fit.
pub(super) fn render(lines: &[&str], width: usize, color: bool) -> Option<Vec<Row>> {
    let (head, rest) = lines.split_first()?;
    let (rule, body) = rest.split_first()?;
    let aligns = alignments(rule)?;
    let columns = aligns.len();
    let render_row = |line: &str, base: Style| -> Vec<Styled> {
        let mut cells: Vec<Styled> = split(line)
            .iter()
            .map(|cell| {
                if color {
                    inline::render(cell, base)
                } else {
                    Styled::new(cell, base)
                }
            })
            .collect();
        cells.resize_with(columns, Styled::default);
        cells
    };
    if split(head).len() != columns {
        return None;
    }
    let head_style = if color {
        Style::new().bold()
    } else {
        Style::new()
    };
    let mut table = vec![render_row(head, head_style)];
    table.extend(body.iter().map(|line| render_row(line, Style::new())));

    let widths = fit(&table, columns, width)?;
    let mut rows = Vec::new();
    for (i, cells) in table.iter().enumerate() {
        rows.extend(layout(cells, &widths, &aligns));
        if i == 0 {
            let rule: Vec<_> = widths.iter().map(|width| "─".repeat(*width)).collect();
            rows.push(Row {
                text: rule.join("─┼─"),
                runs_on: false,
            });
        }
    }
    Some(rows)
}

/// Reads the line under the head: dashes, with colons for the alignment.
fn alignments(rule: &str) -> Option<Vec<Align>> {
    split(rule)
        .iter()
        .map(|cell| {
            let dashes = cell.trim_start_matches(':').trim_end_matches(':');
            if dashes.is_empty() || dashes.bytes().any(|b| b != b'-') {
                return None;
            }
            Some(match (cell.starts_with(':'), cell.ends_with(':')) {
                (true, true) => Align::Centre,
                (false, true) => Align::Right,
                (_, false) => Align::Left,
            })
        })
        .collect()
}

/// Splits a line at its bars; an escaped bar is text.
fn split(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in line.chars() {
        let cell = cells.last_mut().expect("there is always one cell");
        match c {
            '|' if escaped => {
                cell.pop();
                cell.push('|');
            }
            '|' => cells.push(String::new()),
            c => cell.push(c),
        }
        escaped = c == '\\' && !escaped;
    }
    if cells.len() > 1 && cells.last().is_some_and(|cell| cell.trim().is_empty()) {
        cells.pop();
    }
    for cell in &mut cells {
        *cell = cell.trim().to_owned();
    }
    cells
}

/// Finds the widths of the columns: as wide as their text, the widest ones cut until all fit.
fn fit(table: &[Vec<Styled>], columns: usize, width: usize) -> Option<Vec<usize>> {
    let room = width.checked_sub(SEPARATOR.chars().count() * (columns - 1))?;
    let mut widths = vec![1; columns];
    let mut words = vec![1; columns];
    for cells in table {
        for (i, cell) in cells.iter().take(columns).enumerate() {
            widths[i] = widths[i].max(cell.width());
            words[i] = words[i].max(cell.longest_word());
        }
    }
    // First no word is broken, then words are.
    for floors in [&words, &vec![NARROWEST; columns]] {
        while widths.iter().sum::<usize>() > room {
            let over = widths.iter().sum::<usize>() - room;
            let Some((widest, _)) = widths
                .iter()
                .enumerate()
                .filter(|(i, width)| **width > floors[*i])
                .max_by_key(|(_, width)| **width)
            else {
                break;
            };
            let next = widths
                .iter()
                .filter(|width| **width < widths[widest])
                .max()
                .copied()
                .unwrap_or(0);
            let least = floors[widest]
                .max(next)
                .max(widths[widest].saturating_sub(over));
            widths[widest] = least.min(widths[widest] - 1);
        }
    }
    (widths.iter().sum::<usize>() <= room).then_some(widths)
}

/// Lays out one row of the table, in as many rows of the terminal as its fullest cell needs.
fn layout(cells: &[Styled], widths: &[usize], aligns: &[Align]) -> Vec<Row> {
    let wrapped: Vec<Vec<Styled>> = cells
        .iter()
        .zip(widths)
        .map(|(cell, width)| cell.wrap(*width))
        .collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    (0..height)
        .map(|y| {
            let mut text = String::new();
            for (x, (lines, width)) in wrapped.iter().zip(widths).enumerate() {
                if x > 0 {
                    text.push_str(SEPARATOR);
                }
                let (painted, used) = lines
                    .get(y)
                    .map_or_else(Default::default, |line| (line.paint(), line.width()));
                let free = width.saturating_sub(used);
                let left = match aligns[x] {
                    Align::Left => 0,
                    Align::Centre => free / 2,
                    Align::Right => free,
                };
                text.push_str(&" ".repeat(left));
                text.push_str(&painted);
                if x + 1 < widths.len() {
                    text.push_str(&" ".repeat(free - left));
                }
            }
            Row {
                text: text.trim_end().to_owned(),
                runs_on: false,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, width: usize) -> String {
        let lines: Vec<_> = source.lines().collect();
        render(&lines, width, false).map_or("no table".into(), |rows| {
            rows.iter()
                .map(|row| row.text.as_str())
                .collect::<Vec<_>>()
                .join("\n")
        })
    }

    const PEOPLE: &str =
        "| Name | Likes |\n|:--|--:|\n| Anna | long walks on the beach |\n| Bo | a \\| b |";

    #[test]
    fn columns_are_aligned() {
        insta::assert_snapshot!(shown(PEOPLE, 80), @r#"
Name │                   Likes
─────┼────────────────────────
Anna │ long walks on the beach
Bo   │                   a | b
"#);
    }

    #[test]
    fn a_wide_table_is_wrapped_inside_its_cells() {
        insta::assert_snapshot!(shown(PEOPLE, 20), @r#"
Name │         Likes
─────┼──────────────
Anna │ long walks on
     │     the beach
Bo   │         a | b
"#);
    }

    #[test]
    fn what_cannot_be_laid_out_is_left_alone() {
        assert_eq!(shown("| a | b |\n| 1 | 2 |", 40), "no table");
        assert_eq!(shown("| a | b |\n|---|", 40), "no table");
        assert_eq!(shown("| aaaaaaaa | b |\n|---|---|", 6), "no table");
        assert_eq!(shown("| a |", 40), "no table");
    }
}
