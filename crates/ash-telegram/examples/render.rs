//! Shows what Telegram would be sent for a reply in Markdown.

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]

use ash_telegram::render;

const REPLY: &str = "\
## Trains to Lund

Two leave **before noon**:

| train | leaves | arrives |
|---|---:|---:|
| R 1043 | 9:12 | 9:25 |
| R 1047 | 10:12 | 10:25 |

1. Buy the ticket in the [app](https://example.org).
2. Show it with:
   ```sh
   ticket --show
   ```
";

fn main() -> serde_json::Result<()> {
    for piece in render(REPLY) {
        println!("{}\n", piece.text);
        println!("{}", serde_json::to_string_pretty(&piece.entities)?);
    }
    Ok(())
}
