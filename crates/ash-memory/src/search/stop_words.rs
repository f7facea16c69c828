//! English words that say nothing about what is looked for.
//!
//! Other languages do without: a word that is in most messages weighs little anyway.

/// Tells whether a word, in lower case, is one of them.
pub(crate) fn is_stop_word(word: &str) -> bool {
    WORDS.binary_search(&word).is_ok()
}

/// Sorted. Rests of words cut at an apostrophe ("don't", "we'll") are among them.
const WORDS: &[&str] = &[
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "before", "being", "but", "by", "can", "could", "couldn", "did", "didn", "do", "does",
    "doesn", "doing", "don", "for", "from", "had", "has", "hasn", "have", "haven", "having", "he",
    "her", "here", "hers", "him", "his", "how", "i", "if", "in", "into", "is", "isn", "it", "its",
    "just", "ll", "me", "mine", "more", "most", "my", "no", "nor", "not", "of", "on", "once", "or",
    "our", "ours", "out", "please", "re", "she", "should", "shouldn", "so", "some", "such", "tell",
    "than", "that", "the", "their", "theirs", "them", "then", "there", "these", "they", "this",
    "those", "to", "too", "us", "ve", "very", "was", "wasn", "we", "were", "weren", "what", "when",
    "where", "which", "while", "who", "whom", "whose", "why", "will", "with", "won", "would",
    "wouldn", "you", "your", "yours",
];

#[cfg(test)]
mod tests {
    use super::WORDS;

    #[test]
    fn they_are_sorted_for_the_search() {
        assert!(WORDS.is_sorted());
    }
}
