//! HTML whose tags are constants of the code, and whose texts are escaped. There is no other way to write it.

use std::fmt::{self, Display, Write};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds tags.
    pub(super) fn raw(&mut self, html: &'static str) -> &mut Self {
        self.0.push_str(html);
        self
    }

    /// Adds a text, between tags or as the value of an attribute in quotes.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // A String takes everything.
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

struct Escaped<'h>(&'h mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // Browsers read it as U+FFFD, and HTML forbids it.
                '\0' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_neither_ends_its_element_nor_its_attribute() {
        let mut html = Html::default();
        html.raw("<p title=\"").text("\" onclick='x'").raw("\">");
        html.text("</p><script>&\0").raw("</p>");
        let expected =
            "<p title=\"&quot; onclick=&#39;x&#39;\">&lt;/p&gt;&lt;script&gt;&amp;\u{fffd}</p>";
        assert_eq!(html.into_string(), expected);
    }
}
