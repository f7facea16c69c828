//! Names for tool calls: made up where one is missing, and made acceptable where it is not.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::Message;

/// Counts on from the calls made so far, past any id that is taken: a shortened history holds
/// fewer calls than their numbers say. Without end.
pub(crate) fn fresh_call_ids(
    messages: &[Message],
    prefix: &'static str,
) -> impl Iterator<Item = String> + Send + use<> {
    let taken = taken_call_ids(messages);
    (taken.len() + 1..)
        .map(move |n| format!("{prefix}_{n}"))
        .filter(move |id| !taken.contains(id))
}

/// Returns the names of all calls in a conversation.
pub(crate) fn taken_call_ids(messages: &[Message]) -> HashSet<String> {
    messages
        .iter()
        .flat_map(Message::tool_calls)
        .map(|call| call.id.clone())
        .collect()
}

/// Makes an identifier or a name acceptable that another provider made. The same one always becomes
/// the same, so a result still finds its call.
pub(crate) fn identifier(id: &str, max: usize) -> Cow<'_, str> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if (1..=max).contains(&id.len()) && id.chars().all(is_fine) {
        return Cow::Borrowed(id);
    }
    // Two that differ only in what is replaced must not become one, hence their hash (FNV-1a).
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let kept: String = id.chars().filter(|c| is_fine(*c)).take(max - 17).collect();
    Cow::Owned(format!("{kept}_{hash:016x}"))
}
