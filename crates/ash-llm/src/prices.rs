//! What calls cost.
//!
//! Only prices that a provider has published are in the table; the cost of any other model is
//! unknown, not estimated. Standard rates: no batches, no fast modes, caches of the shortest kind.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use jiff::civil::{Date, date};
use serde::{Deserialize, Serialize};

use crate::{Offline, Usage};

/// The day on which the prices were checked.
pub const PRICES_AS_OF: Date = date(2026, 11, 22);

/// Returns what a call of a `PROVIDER/MODEL` costs, if its price is known.
///
/// ```
/// use ash_llm::{Usage, cost};
///
/// let usage = Usage { input: 1_000, output: 500, ..Usage::default() };
/// let cost = cost("anthropic/claude-sonnet-4-6", &usage).expect("the price is known");
/// assert_eq!(cost.micro_dollars(), 10_500);
/// assert_eq!(cost.to_string(), "$0.0105");
/// assert_eq!(ash_llm::cost("local/llama", &usage), None);
/// ```
pub fn cost(model_id: &str, usage: &Usage) -> Option<Cost> {
    let (provider, model) = model_id.split_once('/')?;
    let cards = match provider {
        Offline::NAME => return Some(Cost::default()),
        "anthropic" => ANTHROPIC,
        "openai" => OPENAI,
        _ => return None,
    };
    let model = without_date(model);
    let card = cards.iter().find(|card| card.model == model)?;
    Some(card.price(usage.prompt()).of(usage))
}

/// Money, in millionths of a dollar.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Cost(u64);

impl Cost {
    /// Makes a cost of millionths of a dollar.
    pub fn from_micro_dollars(micro_dollars: u64) -> Self {
        Self(micro_dollars)
    }

    /// Returns the cost in millionths of a dollar.
    pub fn micro_dollars(self) -> u64 {
        self.0
    }
}

/// Shows dollars with four decimals, which is what one call is counted in.
impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ten_thousandths = (self.0 + 50) / 100;
        write!(
            f,
            "${}.{:04}",
            ten_thousandths / 10_000,
            ten_thousandths % 10_000
        )
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

/// A model's prices. A prompt above `long` tokens puts the whole call on the second price.
struct Card {
    model: &'static str,
    short: Price,
    long: Option<(u64, Price)>,
}

/// Thousandths of a dollar for a million tokens.
#[derive(Clone, Copy)]
struct Price {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write: u64,
}

impl Card {
    fn price(&self, prompt: u64) -> Price {
        match self.long {
            Some((threshold, price)) if prompt > threshold => price,
            Some(_) | None => self.short,
        }
    }
}

impl Price {
    fn of(self, usage: &Usage) -> Cost {
        let parts = [
            (usage.input, self.input),
            (usage.output, self.output),
            (usage.cache_read, self.cache_read),
            (usage.cache_write, self.cache_write),
        ];
        let sum: u128 = parts
            .into_iter()
            .map(|(tokens, price)| u128::from(tokens) * u128::from(price))
            .sum();
        // A thousandth of a dollar for a million tokens is a thousandth of a micro-dollar a token.
        Cost(u64::try_from(sum.div_ceil(1_000)).unwrap_or(u64::MAX))
    }
}

/// Cache prices: read, then write.
const fn price(input: u64, output: u64, cache_read: u64, cache_write: u64) -> Price {
    Price {
        input,
        output,
        cache_read,
        cache_write,
    }
}

const fn flat(model: &'static str, short: Price) -> Card {
    Card {
        model,
        short,
        long: None,
    }
}

/// Long prompts at `OpenAI`: from GPT-5.4 on, the larger models double the price of what is read
/// and take half as much again for what is written.
const fn long(model: &'static str, short: Price) -> Card {
    let long = price(
        short.input * 2,
        short.output * 3 / 2,
        short.cache_read * 2,
        short.cache_write * 2,
    );
    Card {
        model,
        short,
        long: Some((272_000, long)),
    }
}

const ANTHROPIC: &[Card] = &[
    flat("claude-fable-5-1", price(10_000, 50_000, 250, 12_500)),
    flat("claude-mythos-5-1", price(10_000, 50_000, 250, 12_500)),
    flat("claude-fable-5", price(10_000, 50_000, 1_000, 12_500)),
    flat("claude-mythos-5", price(10_000, 50_000, 1_000, 12_500)),
    flat("claude-opus-5-5", price(4_000, 20_000, 200, 5_000)),
    flat("claude-opus-5", price(5_000, 25_000, 500, 6_250)),
    flat("claude-opus-4-8", price(5_000, 25_000, 500, 6_250)),
    flat("claude-opus-4-7", price(5_000, 25_000, 500, 6_250)),
    flat("claude-opus-4-6", price(5_000, 25_000, 500, 6_250)),
    flat("claude-opus-4-5", price(5_000, 25_000, 500, 6_250)),
    flat("claude-sonnet-5-5", price(2_000, 10_000, 100, 2_500)),
    flat("claude-sonnet-5", price(2_000, 10_000, 200, 2_500)),
    flat("claude-sonnet-4-6", price(3_000, 15_000, 300, 3_750)),
    flat("claude-sonnet-4-5", price(3_000, 15_000, 300, 3_750)),
    Card {
        model: "claude-haiku-5-5",
        short: price(100, 500, 10, 125),
        long: Some((100_000, price(500, 2_500, 50, 625))),
    },
    flat("claude-haiku-4-5", price(1_000, 5_000, 100, 1_250)),
];

/// Before GPT-5.6 writing to the cache costs nothing beside the input. `gpt-5.6-sol` is missing: its
/// price was a promotion with an open end.
const OPENAI: &[Card] = &[
    long("gpt-6.2-astra", price(8_000, 40_000, 400, 10_000)),
    long("gpt-6.2-sol", price(2_000, 10_000, 100, 2_500)),
    long("gpt-6.1-sol", price(2_000, 10_000, 100, 2_500)),
    long("gpt-6.1-terra", price(1_000, 5_000, 50, 1_250)),
    long("gpt-6-astra", price(10_000, 50_000, 1_000, 12_500)),
    long("gpt-6-sol", price(2_000, 10_000, 200, 2_500)),
    long("gpt-6-luna", price(100, 500, 10, 125)),
    long("gpt-5.6-terra", price(2_000, 12_000, 200, 2_500)),
    long("gpt-5.6-luna", price(200, 1_200, 20, 250)),
    long("gpt-5.5", price(5_000, 30_000, 500, 5_000)),
    long("gpt-5.4", price(2_500, 15_000, 250, 2_500)),
    flat("gpt-5.4-mini", price(750, 4_500, 75, 750)),
    flat("gpt-5.4-nano", price(200, 1_250, 20, 200)),
    flat("gpt-5.2", price(1_750, 14_000, 175, 1_750)),
    flat("gpt-5", price(1_250, 10_000, 125, 1_250)),
    flat("gpt-5-mini", price(250, 2_000, 25, 250)),
    flat("gpt-5-nano", price(50, 400, 5, 50)),
    flat("gpt-4.1", price(2_000, 8_000, 500, 2_000)),
    flat("gpt-4.1-mini", price(400, 1_600, 100, 400)),
    flat("gpt-4o", price(2_500, 10_000, 1_250, 2_500)),
    flat("gpt-4o-mini", price(150, 600, 75, 150)),
    flat("o4-mini", price(1_100, 4_400, 275, 1_100)),
    flat("text-embedding-3-small", price(20, 0, 20, 20)),
    flat("text-embedding-3-large", price(130, 0, 130, 130)),
];

/// Removes the date of a snapshot: `-20251001` or `-2025-10-01`.
fn without_date(model: &str) -> &str {
    const FORMS: [&str; 2] = ["-dddddddd", "-dddd-dd-dd"];
    let is_date = |tail: &str, form: &str| {
        tail.chars()
            .zip(form.chars())
            .all(|(c, f)| if f == 'd' { c.is_ascii_digit() } else { c == f })
    };
    for form in FORMS {
        let Some(at) = model.len().checked_sub(form.len()) else {
            continue;
        };
        if let Some(name) = model.get(..at)
            && is_date(&model[at..], form)
        {
            return name;
        }
    }
    model
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micro(
        model: &str,
        input: u64,
        output: u64,
        cache_read: u64,
        cache_write: u64,
    ) -> Option<u64> {
        let usage = Usage {
            input,
            output,
            cache_read,
            cache_write,
        };
        cost(model, &usage).map(Cost::micro_dollars)
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        const M: u64 = 1_000_000;
        let sonnet = "anthropic/claude-sonnet-4-6";
        assert_eq!(micro(sonnet, M, 0, 0, 0), Some(3 * M));
        assert_eq!(micro(sonnet, 0, M, 0, 0), Some(15 * M));
        assert_eq!(micro(sonnet, 0, 0, M, 0), Some(300_000));
        assert_eq!(micro(sonnet, 0, 0, 0, M), Some(3_750_000));
        assert_eq!(micro("offline/offline", M, M, 0, 0), Some(0));
    }

    #[test]
    fn a_price_that_is_not_known_is_not_guessed() {
        for model in [
            "anthropic/claude-sonnet-9",
            "openai/gpt-4o-audio",
            "local/gpt-4o",
            "gpt-4o",
            "",
        ] {
            assert_eq!(micro(model, 1, 1, 1, 1), None, "{model}");
        }
    }

    #[test]
    fn a_long_prompt_puts_the_whole_call_on_its_price() {
        let terra = "openai/gpt-6.1-terra";
        assert_eq!(micro(terra, 272_000, 1_000_000, 0, 0), Some(5_272_000));
        assert_eq!(micro(terra, 1, 0, 272_000, 0), Some(27_202));
        assert_eq!(micro(terra, 272_001, 1_000_000, 0, 0), Some(8_044_002));
        assert_eq!(
            micro("anthropic/claude-haiku-5-5", 100_001, 0, 0, 0),
            Some(50_001)
        );
    }

    #[test]
    fn a_dated_snapshot_costs_what_its_model_costs() {
        assert_eq!(
            micro("anthropic/claude-haiku-4-5-20251001", 1_000, 0, 0, 0),
            Some(1_000)
        );
        assert_eq!(
            micro("openai/gpt-4o-2024-08-06", 1_000, 0, 0, 0),
            Some(2_500)
        );
        for (model, name) in [
            ("gpt-5", "gpt-5"),
            ("é-2024-08-0", "é-2024-08-0"),
            ("ééééééééééé", "ééééééééééé"),
            ("m-20240806", "m"),
        ] {
            assert_eq!(without_date(model), name);
        }
    }

    #[test]
    fn costs_add_up_and_are_shown_in_dollars() {
        let costs = [1_500_049, 50, 1].map(Cost::from_micro_dollars);
        assert_eq!(
            costs.map(|cost| cost.to_string()),
            ["$1.5000", "$0.0001", "$0.0000"]
        );
        assert_eq!(costs.into_iter().sum::<Cost>().to_string(), "$1.5001");
        assert_eq!(
            micro("openai/gpt-4o", u64::MAX, u64::MAX, 0, 0),
            Some(u64::MAX)
        );
    }

    #[test]
    fn no_model_is_listed_twice() {
        for cards in [ANTHROPIC, OPENAI] {
            let names: std::collections::HashSet<_> = cards.iter().map(|card| card.model).collect();
            assert_eq!(names.len(), cards.len());
        }
    }
}
