//! Where the log goes, and how much of it.

use std::fs::OpenOptions;
use std::sync::Mutex;

use anyhow::Context as _;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cli::{Global, LogFormat};

/// Starts the log. On standard error it is quiet unless asked for; a file is asked for.
pub(crate) fn start(global: &Global) -> anyhow::Result<()> {
    let quiet = global.log_file.is_none();
    let (ours, others) = match (global.verbose, quiet) {
        (0, true) => return Ok(()),
        (0, false) | (1, _) => (LevelFilter::INFO, LevelFilter::WARN),
        (2, _) => (LevelFilter::DEBUG, LevelFilter::INFO),
        (3.., _) => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    let targets = Targets::new()
        .with_default(others)
        .with_target("ash", ours)
        .with_targets(
            [
                "llm", "memory", "core", "tools", "sandbox", "telegram", "server",
            ]
            .map(|name| (format!("ash_{name}"), ours)),
        );
    let (writer, color) = match &global.log_file {
        Some(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .with_context(|| format!("cannot open the log file {}", path.display()))?;
            (BoxMakeWriter::new(Mutex::new(file)), false)
        }
        None => (
            BoxMakeWriter::new(std::io::stderr),
            crate::terminal::stderr_has_color(),
        ),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(color);
    let registry = tracing_subscriber::registry().with(targets);
    match global.log_format {
        LogFormat::Text => registry.with(layer).init(),
        LogFormat::Json => registry.with(layer.json()).init(),
    }
    Ok(())
}
