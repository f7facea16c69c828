//! Reading what `search_history` found, and choosing what is worth quoting.

use std::cmp::Reverse;

use jiff::civil::Date;

use super::{reply, rules};

/// How many quotes an answer has at most.
const MOST_QUOTES: usize = 3;

/// What the history has to say to a question.
#[derive(Debug, PartialEq)]
pub(super) enum Findings {
    /// Nothing.
    Nothing,
    /// Words that share little with the question.
    Nearest(Hit),
    /// Words that the question is about, the best first.
    Quotes(Vec<Hit>),
}

/// A message that was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Hit {
    pub(super) date: Date,
    pub(super) speaker: Speaker,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// Who said it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Speaker {
    Owner,
    Ash,
    Other(String),
}

/// What it is worth as an answer, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Statement,
    AshSaid,
    Asked,
}

impl Findings {
    /// Chooses from the text of a `search_history` result.
    pub(super) fn for_question(question: &str, result: &str) -> Self {
        let asked = tokens(question);
        let mut hits: Vec<(usize, Hit)> = Vec::new();
        for line in result.lines() {
            let Some(hit) = Hit::parse(line.trim_start()) else {
                continue;
            };
            let said = tokens(&hit.text);
            let score = overlap(&asked, &said);
            let is_repeated = said == asked
                || hits
                    .iter()
                    .any(|(_, earlier)| tokens(&earlier.text) == said);
            // An indented line was not found but stands beside what was, and needs its own reason.
            let is_beside = line.starts_with(' ') && !is_enough(score, &asked);
            // An earlier question only helps if it was nearly this one.
            let is_other_question = hit.kind == Kind::Asked && !is_enough(score / 2, &asked);
            if !is_repeated
                && !is_beside
                && !is_other_question
                && !reply::is_by_offline(&hit.speaker, &hit.text)
            {
                hits.push((score, hit));
            }
        }
        let Some(best_kind) = hits.iter().map(|(_, hit)| hit.kind).min() else {
            return Self::Nothing;
        };
        hits.retain(|(_, hit)| hit.kind == best_kind);
        // The sort is stable: among equals the order of the search stands.
        hits.sort_by_key(|(score, _)| Reverse(*score));
        let best = hits[0].0;
        if !is_enough(best, &asked) {
            return Self::Nearest(hits.swap_remove(0).1);
        }
        Self::Quotes(
            hits.into_iter()
                .take_while(|(score, _)| score * 2 >= best)
                .map(|(_, hit)| hit)
                .take(MOST_QUOTES)
                .collect(),
        )
    }
}

impl Hit {
    /// Reads one line: `[2026-11-22 20:40] you in "main": remember that …`.
    fn parse(line: &str) -> Option<Self> {
        let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
        let (date, _time) = stamp.split_once(' ')?;
        let (speaker, rest) = rest.split_once(" in \"")?;
        let (_chat, text) = rest.split_once("\": ")?;
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let speaker = match speaker {
            "you" => Speaker::Owner,
            "Ash" => Speaker::Ash,
            name => Speaker::Other(name.to_owned()),
        };
        let kind = match speaker {
            Speaker::Ash => Kind::AshSaid,
            Speaker::Owner | Speaker::Other(_) if is_asking(text) => Kind::Asked,
            Speaker::Owner | Speaker::Other(_) => Kind::Statement,
        };
        let text = match rules::Instruction::read(text) {
            Some(found) if found.tool.tool == "remember" && kind == Kind::Statement => {
                found.argument
            }
            _ => text.to_owned(),
        };
        Some(Self {
            date: date.parse().ok()?,
            speaker,
            kind,
            text,
        })
    }
}

/// Tells whether words want something rather than tell something. Without a question mark only
/// English is recognised; elsewhere a question counts as a statement, which costs a worse quote.
pub(super) fn is_asking(text: &str) -> bool {
    const ASKING: &[&str] = &[
        "what", "who", "whose", "when", "where", "why", "how", "which", "is", "are", "was", "do",
        "does", "did", "can", "could", "should",
    ];
    let orders = rules::Instruction::read(text)
        .is_some_and(|found| !matches!(found.tool.tool, "remember" | "schedule"));
    orders
        || text.ends_with(['?', '？', '؟'])
        || ASKING
            .iter()
            .any(|word| rules::strip_phrase(text, word).is_some())
}

/// Cuts text into lower-case words; scripts without spaces into pairs of characters.
fn tokens(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric() && !is_unspaced(c))
        .flat_map(|word| {
            let characters: Vec<char> = word.chars().collect();
            if characters.len() > 2 && characters.iter().any(|c| is_unspaced(*c)) {
                characters.windows(2).map(String::from_iter).collect()
            } else {
                vec![word.to_owned()]
            }
        })
        .filter(|token| !token.is_empty())
        .collect()
}

/// Tells whether a character belongs to a script written without spaces, or with endings glued on.
pub(super) fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{0e00}'..='\u{0eff}'      // Thai, Lao
        | '\u{1000}'..='\u{109f}'    // Burmese
        | '\u{1780}'..='\u{17ff}'    // Khmer
        | '\u{3040}'..='\u{30ff}'    // Japanese
        | '\u{3400}'..='\u{9fff}'    // Han
        | '\u{ac00}'..='\u{d7af}'    // Korean
        | '\u{20000}'..='\u{3ffff}') // Han, rare
}

/// Counts the characters of the question's words that were also said: long words say more than
/// short ones in any language, so none needs a list of words to ignore.
fn overlap(asked: &[String], said: &[String]) -> usize {
    asked
        .iter()
        .filter(|word| said.iter().any(|other| is_same_word(word, other)))
        .map(|word| word.chars().count())
        .sum()
}

/// Tells whether enough of a question was said to call that its answer.
fn is_enough(score: usize, asked: &[String]) -> bool {
    let length: usize = asked.iter().map(|word| word.chars().count()).sum();
    score * 3 >= length
}

/// `live` and `lives` are the same word.
fn is_same_word(a: &str, b: &str) -> bool {
    const STEM: usize = 4;
    a == b
        || (a.chars().count() >= STEM && b.starts_with(a))
        || (b.chars().count() >= STEM && a.starts_with(b))
}
