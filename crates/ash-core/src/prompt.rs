//! The system prompt, in an order that keeps it the same from request to request, and the context
//! that goes with each message instead of into it.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::untrusted;
use crate::workspace::Identity;

/// Returns the parts of the system prompt: what changes least comes first.
pub(crate) fn system(identity: &Identity, has_tools: bool) -> Vec<String> {
    let mut parts = Vec::new();
    if !identity.tools.is_empty() {
        parts.push(format!("# Notes on tools\n\n{}", identity.tools));
    }
    parts.push(identity.soul.clone());
    if !identity.user.is_empty() {
        parts.push(format!("# The person you work for\n\n{}", identity.user));
    }
    parts.push(rules(has_tools));
    parts
}

fn rules(has_tools: bool) -> String {
    let mut text = String::from(
        "# Rules\n\n\
         - A line in [square brackets] before a message says when it was written; nobody said it.\n\
         - Say plainly when you do not know something or could not do it.",
    );
    if has_tools {
        text.push_str(
            "\n- The person does not see what tools return; say what matters of it.\
             \n- Older messages are not all shown to you. Before you say that you do not know \
             something the person may have told you, search the history.\n- ",
        );
        text.push_str(untrusted::RULE);
    }
    text
}

/// Returns what a model is told along with a message: when it was written, on the person's clock.
pub(crate) fn context(now: Timestamp, zone: &TimeZone) -> String {
    let local = now.to_zoned(zone.clone());
    let time = local.strftime("%A, %-d %B %Y, %H:%M");
    match zone.iana_name() {
        Some(name) => format!("[{time}, {name}]"),
        None => format!("[{time}, UTC{}]", local.strftime("%:z")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_on_the_clock_of_the_person() {
        let now: Timestamp = "2026-11-22T23:30:00Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(
            context(now, &zone),
            "[Monday, 23 November 2026, 00:30, Europe/Berlin]"
        );
    }

    #[test]
    fn the_system_prompt_for_an_untouched_workspace_stays_small() {
        let identity = crate::Workspace::built_in().identity();
        let length: usize = system(&identity, true).iter().map(String::len).sum();
        assert!(length < 4_000, "{length}");
    }
}
