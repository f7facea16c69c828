//! What the offline model understands, and which tool that asks for.

/// One line of the table: what a person says, and the tool with the argument that it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineTool {
    /// What is said; `…` stands for the argument.
    pub pattern: &'static str,
    /// The tool's name.
    pub tool: &'static str,
    /// The name of the argument that takes the words at `…`.
    pub argument: &'static str,
}

/// The first pattern that fits wins, so a longer one stands above a shorter one.
pub(super) const TOOLS: &[OfflineTool] = &[
    row("remember that …", "remember", "content"),
    row("remember …", "remember", "content"),
    row("what do you know about …", "recall", "query"),
    row("what do you remember about …", "recall", "query"),
    row("tell me what you know about …", "recall", "query"),
    row("forget that …", "forget", "query"),
    row("forget about …", "forget", "query"),
    row("forget …", "forget", "query"),
    row("run `…`", "bash", "command"),
    row("$ …", "bash", "command"),
    row("search the web for …", "web_search", "query"),
    row("remind me …", "schedule", "text"),
    row(ANYTHING, "search_history", "query"),
    row(ANYTHING, "recall", "query"),
];

const ANYTHING: &str = "…";

/// Said before an instruction without changing it.
const COURTESIES: &[&str] = &[
    "and",
    "please",
    "hey",
    "ok",
    "ash",
    "can you",
    "could you",
    "would you",
    "will you",
];

const fn row(pattern: &'static str, tool: &'static str, argument: &'static str) -> OfflineTool {
    OfflineTool {
        pattern,
        tool,
        argument,
    }
}

/// Returns the tools that look up whatever is not an instruction.
pub(super) fn for_anything_else() -> impl Iterator<Item = &'static OfflineTool> {
    TOOLS.iter().filter(|row| row.pattern == ANYTHING)
}

/// An instruction that was understood.
#[derive(Debug, PartialEq)]
pub(super) struct Instruction {
    /// The line of the table that fits.
    pub(super) tool: &'static OfflineTool,
    /// The words at `…`.
    pub(super) argument: String,
}

impl Instruction {
    /// Reads words as an instruction; `None` makes them a question.
    pub(super) fn read(words: &str) -> Option<Self> {
        let words = without_courtesies(words.trim());
        let tool = TOOLS
            .iter()
            .filter(|row| row.pattern != ANYTHING)
            .find(|row| row.taken_from(words).is_some())?;
        let argument = tool.taken_from(words)?;
        Some(Self { tool, argument })
    }

    /// Tells whether the history can answer it too.
    pub(super) fn is_question(&self) -> bool {
        self.tool.tool == "recall"
    }
}

impl OfflineTool {
    fn taken_from(&self, words: &str) -> Option<String> {
        let (before, after) = self
            .pattern
            .split_once(ANYTHING)
            .expect("every pattern has its …");
        let rest = strip_phrase(words, before.trim_end())?;
        let taken = match self.tool {
            "bash" if before.starts_with('$') => prompt_lines(words)?,
            "bash" => between_ticks(rest, after).to_owned(),
            // Asking what is remembered is no order to remember it.
            "remember" if rest.trim_end().ends_with(['?', '？', '؟']) => return None,
            "remember" => trim_lead(rest).to_owned(),
            _ => trim_lead(rest)
                .trim_end_matches(['?', '!', '.', '？'])
                .to_owned(),
        };
        let taken = taken.trim();
        (!taken.is_empty()).then(|| taken.to_owned())
    }
}

/// Takes what stands between backticks, as many behind as before. A block of code has a first line
/// of its own, which names the language.
fn between_ticks<'a>(rest: &'a str, tick: &str) -> &'a str {
    let body = rest.trim_start_matches(tick);
    let ticks = tick.len() + rest.len() - body.len();
    let body = body.split(&tick.repeat(ticks)).next().unwrap_or(body);
    if ticks < 3 {
        return body;
    }
    body.split_once('\n').map_or(body, |(_language, code)| code)
}

/// Removes a phrase from the start, whatever its case, where a word ends behind it.
pub(super) fn strip_phrase<'a>(words: &'a str, phrase: &str) -> Option<&'a str> {
    let head = words.get(..phrase.len())?;
    let rest = &words[phrase.len()..];
    let word_ends =
        !phrase.ends_with(char::is_alphanumeric) || !rest.starts_with(char::is_alphanumeric);
    (head.eq_ignore_ascii_case(phrase) && word_ends).then_some(rest)
}

fn without_courtesies(mut words: &str) -> &str {
    while let Some(rest) = COURTESIES
        .iter()
        .find_map(|phrase| strip_phrase(words, phrase))
    {
        words = trim_lead(rest);
    }
    words
}

fn trim_lead(words: &str) -> &str {
    words.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | ','))
}

/// Takes the lines at the start that begin with `$`, without it. A sum of money is no command.
fn prompt_lines(words: &str) -> Option<String> {
    let commands: Vec<&str> = words
        .lines()
        .map_while(|line| line.trim_start().strip_prefix('$'))
        .map(str::trim)
        .collect();
    let is_money = commands.first()?.starts_with(|c: char| c.is_ascii_digit());
    (!is_money).then(|| commands.join("\n"))
}
