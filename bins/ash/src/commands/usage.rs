//! `ash usage`: tokens, cache hits and cost.

use std::collections::HashMap;
use std::io::Write as _;

use anstyle::Style;
use ash_memory::{Memory, UsageBy, UsageQuery, UsageTotal};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::{Context, block_on, print_json};
use crate::app;
use crate::cli;
use crate::config::Config;
use crate::report::{Exit, Problem};
use crate::terminal;

/// Runs `ash usage`.
pub(crate) fn run(context: &Context, arguments: &cli::Usage) -> anyhow::Result<Exit> {
    let config = Config::load(&context.home, &context.environment)?;
    let zone = config.settings.timezone.resolve();
    let since = match arguments.days {
        Some(days) => Some(since(days, &zone)?),
        None => None,
    };
    let Some(memory) = app::open_kept(&context.home, &config.settings)? else {
        if arguments.json.json {
            print_json(&json!({ "days": [], "models": [], "sessions": [] }))?;
        } else {
            writeln!(terminal::stderr(), "no model was asked yet")?;
        }
        return Ok(Exit::Done);
    };
    let (days, models, sessions) = block_on(async {
        let sum = async |by| {
            let query = UsageQuery {
                since,
                until: None,
                by,
            };
            memory.usage(query).await
        };
        anyhow::Ok((
            sum(UsageBy::Day(zone)).await?,
            sum(UsageBy::Model).await?,
            named(&memory, sum(UsageBy::Session).await?).await?,
        ))
    })?;
    if arguments.json.json {
        let list = |totals: &[UsageTotal], name| -> Value {
            totals.iter().map(|total| total_json(total, name)).collect()
        };
        print_json(&json!({
            "days": list(&days, "day"),
            "models": list(&models, "model"),
            "sessions": list(&sessions, "session"),
        }))?;
        return Ok(Exit::Done);
    }
    if days.is_empty() {
        writeln!(terminal::stderr(), "no model was asked yet")?;
        return Ok(Exit::Done);
    }
    for (title, totals) in [("DAY", days), ("MODEL", models), ("SESSION", sessions)] {
        print(title, &totals)?;
    }
    Ok(Exit::Done)
}

/// Returns the beginning of the day that lies so many days back, today being one.
fn since(days: u32, zone: &jiff::tz::TimeZone) -> anyhow::Result<Timestamp> {
    let back = i64::from(days.saturating_sub(1)).days();
    Timestamp::now()
        .to_zoned(zone.clone())
        .start_of_day()
        .and_then(|today| today.checked_sub(back))
        .map(|day| day.timestamp())
        .map_err(|_| Problem::usage(format!("{days} days are too many")).into())
}

/// Gives sums of sessions the names that people know.
async fn named(memory: &Memory, totals: Vec<UsageTotal>) -> anyhow::Result<Vec<UsageTotal>> {
    let names: HashMap<String, String> = memory
        .sessions()
        .await?
        .into_iter()
        .map(|found| {
            let name = super::sessions::name(&found.session);
            (found.session.id.into(), name)
        })
        .collect();
    Ok(totals
        .into_iter()
        .map(|total| UsageTotal {
            key: names
                .get(&total.key)
                .cloned()
                .unwrap_or_else(|| "(deleted)".to_owned()),
            ..total
        })
        .collect())
}

fn print(title: &str, totals: &[UsageTotal]) -> anyhow::Result<()> {
    let heading = [title, "CALLS", "INPUT", "FROM CACHE", "OUTPUT", "COST"];
    let rows: Vec<[String; 6]> = totals
        .iter()
        .map(|total| {
            [
                total.key.clone(),
                total.calls.to_string(),
                prompt(total).to_string(),
                share(total.tokens.cache_read, prompt(total)),
                total.tokens.output.to_string(),
                cost(total),
            ]
        })
        .collect();
    let mut out = terminal::stdout();
    terminal::columns(&mut out, Some(heading), &rows)?;
    if rows.iter().any(|row| row[5].ends_with('+')) {
        let dim = Style::new().dimmed();
        writeln!(out, "{dim}+ some of its calls have no known price{dim:#}")?;
    }
    Ok(writeln!(out)?)
}

/// Says a sum in one line.
pub(super) fn line(total: &UsageTotal) -> String {
    format!(
        "{} calls: {} tokens in ({} from cache), {} out, {}",
        total.calls,
        prompt(total),
        share(total.tokens.cache_read, prompt(total)),
        total.tokens.output,
        cost(total)
    )
}

fn prompt(total: &UsageTotal) -> u64 {
    total.tokens.input + total.tokens.cache_read + total.tokens.cache_write
}

fn share(part: u64, whole: u64) -> String {
    match (part * 100).checked_div(whole) {
        Some(percent) => format!("{percent} %"),
        None => "–".to_owned(),
    }
}

fn cost(total: &UsageTotal) -> String {
    let dollars = format!("${:.4}", dollars(total.cost_micros));
    match total.unpriced {
        0 => dollars,
        all if all == total.calls => "unknown".to_owned(),
        _ => dollars + "+",
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody spends that much")]
fn dollars(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn total_json(total: &UsageTotal, name: &str) -> Value {
    let mut object = json!(total.tokens);
    object[name] = json!(total.key);
    object["calls"] = json!(total.calls);
    object["cost_usd"] = json!(dollars(total.cost_micros));
    object["calls_without_price"] = json!(total.unpriced);
    object
}
