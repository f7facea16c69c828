//! What can the agent do?
//!
//! One file a tool, each registered explicitly:
//!
//! ```
//! use ash_core::Tool;
//! use ash_memory::{Memory, OpenOptions};
//! use ash_tools::SearchHistory;
//!
//! let memory = Memory::open_in_memory(OpenOptions::default())?;
//! let tool = SearchHistory::new(memory, jiff::tz::TimeZone::UTC);
//! assert_eq!(tool.spec().name, "search_history");
//! # Ok::<(), ash_memory::MemoryError>(())
//! ```

mod search_history;

pub use search_history::SearchHistory;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use ash_core::{Arguments, ToolError};

/// Returns the JSON Schema of a tool's arguments, as models are given it.
fn schema<T: JsonSchema>() -> Value {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.meta_schema = None;
    settings.inline_subschemas = true;
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("title");
        object.remove("description");
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    schema
}

/// Reads the arguments, or tells the model what is wrong with them.
fn arguments<T: DeserializeOwned>(arguments: Arguments) -> Result<T, ToolError> {
    serde_json::from_value(Value::Object(arguments)).map_err(|error| {
        ToolError::new(format!(
            "the arguments do not fit: {error}; see the tool's schema"
        ))
    })
}
