//! What text is found by: its terms.
//!
//! Where words are divided by spaces, a term is a word. Where they are not, as in Chinese, Japanese or
//! Thai, a term is each pair of neighbouring letters. Stored text and questions are cut alike; SQLite
//! then folds accents and English endings.

/// Longer words are noise (keys, encoded data) and are cut.
const LONGEST: usize = 40;

/// A term of a text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Term {
    /// A word between spaces.
    Word(String),
    /// Two letters of a script without spaces.
    Pair(String),
    /// A letter of such a script that stands alone.
    Alone(String),
    /// The last letter of a run of them, which begins no pair.
    Last(String),
}

impl Term {
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Word(text) | Self::Pair(text) | Self::Alone(text) | Self::Last(text) => text,
        }
    }
}

/// Returns the terms of a text in their order.
pub(crate) fn terms(text: &str) -> Vec<Term> {
    let mut cutter = Cutter::default();
    for letter in text.chars().flat_map(fold) {
        cutter.take(letter);
    }
    cutter.end_run();
    cutter.terms
}

#[derive(Default)]
struct Cutter {
    terms: Vec<Term>,
    word: String,
    letters: usize,
    // The letters of a run without spaces, each with the marks that belong to it.
    run: Vec<String>,
    after_apostrophe: bool,
}

impl Cutter {
    fn take(&mut self, letter: char) {
        match kind(letter) {
            Kind::Dropped => {}
            Kind::Word => {
                self.end_dense();
                if self.letters < LONGEST {
                    self.word.push(letter);
                    self.letters += 1;
                }
            }
            Kind::Dense => {
                self.end_word(false);
                self.run.push(letter.into());
            }
            Kind::DenseMark => match self.run.last_mut() {
                // A letter has few marks; a stream of them is not writing.
                Some(last) if last.len() < LONGEST => last.push(letter),
                _ => {}
            },
            Kind::Apostrophe => {
                self.end_dense();
                self.end_word(true);
            }
            Kind::Divider => self.end_run(),
        }
    }

    fn end_run(&mut self) {
        self.end_word(false);
        self.end_dense();
    }

    // What an apostrophe cuts off, as in "Anna's" or "l'été", is not a word of its own.
    fn end_word(&mut self, apostrophe: bool) {
        let beside = apostrophe || self.after_apostrophe;
        if self.letters > 1 || (self.letters == 1 && !beside) {
            self.terms.push(Term::Word(std::mem::take(&mut self.word)));
        }
        self.after_apostrophe = apostrophe && self.letters > 0;
        self.word.clear();
        self.letters = 0;
    }

    fn end_dense(&mut self) {
        for pair in self.run.windows(2) {
            self.terms.push(Term::Pair(pair.concat()));
        }
        let alone = self.run.len() == 1;
        self.terms.extend(self.run.pop().map(|letter| {
            if alone {
                Term::Alone(letter)
            } else {
                Term::Last(letter)
            }
        }));
        self.run.clear();
    }
}

enum Kind {
    Word,
    Dense,
    DenseMark,
    Apostrophe,
    Dropped,
    Divider,
}

fn kind(letter: char) -> Kind {
    match letter {
        '\'' | '\u{2019}' | '\u{02bc}' => Kind::Apostrophe,
        // Accents written apart, vowel signs of Hebrew and Arabic, and letters without a sound.
        '\u{0300}'..='\u{036f}'
        | '\u{0591}'..='\u{05bd}'
        | '\u{05bf}'
        | '\u{05c1}'..='\u{05c2}'
        | '\u{0640}'
        | '\u{064b}'..='\u{065f}'
        | '\u{0670}'
        | '\u{00ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2060}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' => Kind::Dropped,
        // Thai, Lao, Myanmar, Khmer: marks above, below and around a letter.
        '\u{0e31}'
        | '\u{0e34}'..='\u{0e3a}'
        | '\u{0e47}'..='\u{0e4e}'
        | '\u{0eb1}'
        | '\u{0eb4}'..='\u{0ebc}'
        | '\u{0ec8}'..='\u{0ece}'
        | '\u{102b}'..='\u{103e}'
        | '\u{17b4}'..='\u{17d3}' => Kind::DenseMark,
        _ if is_dense(letter) && letter.is_alphanumeric() => Kind::Dense,
        // Signs that join the letters of the scripts of India.
        '\u{0900}'..='\u{0dff}' if !matches!(letter, '\u{0964}' | '\u{0965}' | '\u{0970}') => {
            Kind::Word
        }
        _ if letter.is_alphanumeric() => Kind::Word,
        _ => Kind::Divider,
    }
}

fn is_dense(letter: char) -> bool {
    matches!(letter,
        '\u{0e00}'..='\u{0eff}'      // Thai, Lao
        | '\u{1000}'..='\u{109f}'    // Myanmar
        | '\u{1780}'..='\u{17ff}'    // Khmer
        | '\u{1100}'..='\u{11ff}'    // Hangul
        | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}'    // Hiragana, Katakana
        | '\u{3130}'..='\u{318f}'
        | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}'    // Han
        | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7af}'    // Hangul
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ff9f}'
        | '\u{20000}'..='\u{3ffff}')
}

/// Lower case, the wide letters of East Asian keyboards as plain ones, and one letter for those that
/// people write for each other. SQLite folds the accents of Latin letters.
fn fold(letter: char) -> impl Iterator<Item = char> {
    let plain = match letter {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(letter) - 0xfee0).expect("ends in ASCII")
        }
        other => other,
    };
    plain.to_lowercase().map(|letter| match letter {
        'ά' => 'α',
        'έ' => 'ε',
        'ή' => 'η',
        'ί' | 'ϊ' | 'ΐ' => 'ι',
        'ό' => 'ο',
        'ύ' | 'ϋ' | 'ΰ' => 'υ',
        'ώ' => 'ω',
        'ς' => 'σ',
        'ё' => 'е',
        'أ' | 'إ' | 'آ' => 'ا',
        'ى' => 'ي',
        'ة' => 'ه',
        other => other,
    })
}
