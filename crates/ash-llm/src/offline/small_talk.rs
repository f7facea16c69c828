//! Short answers to what needs neither a tool nor a model.

use super::reply::{ABLE, CONNECT, OFFLINE};

/// Returns the answer, if the words are small talk and nothing else.
pub(super) fn answer(words: &str) -> Option<String> {
    let said = words.to_lowercase();
    let said = said.trim_matches(|c: char| !c.is_alphanumeric());
    let said = said
        .strip_suffix(" ash")
        .map_or(said, |rest| rest.trim_end_matches([',', ' ']));
    match said {
        "" | "hello" | "hi" | "hey" | "hallo" | "hola" | "bonjour" | "ciao" | "good morning"
        | "good afternoon" | "good evening" => Some(greeting()),
        "thanks"
        | "thank you"
        | "thank you very much"
        | "thanks a lot"
        | "many thanks"
        | "danke"
        | "merci"
        | "gracias" => Some("You are welcome!".to_owned()),
        "bye" | "goodbye" | "good bye" | "good night" => Some("Goodbye!".to_owned()),
        "help" | "help me" | "what can you do" | "who are you" | "what are you" => Some(help()),
        _ => None,
    }
}

pub(super) fn greeting() -> String {
    format!(
        "Hello! {OFFLINE}, but I keep what you tell me and find it again when you ask. \
         Say \"help\" to see what else I understand.\n\n{CONNECT}"
    )
}

fn help() -> String {
    format!(
        "{OFFLINE}, so {ABLE}. This is what I understand:\n\n\
         - \"remember that …\" keeps something\n\
         - \"what do you know about …\" and any other question looks it up in our history\n\
         - \"forget …\" removes something that I remember\n\
         - \"run `…`\", or a line that begins with `$`, runs a command\n\
         - \"search the web for …\"\n\
         - \"remind me …\"\n\n\
         What needs a tool works where that tool is switched on. {CONNECT}"
    )
}
