//! The table of clients' test suites says what the suites must pass.

use crate::text_of;
use toml_edit::DocumentMut;

#[test]
fn the_table_of_suites_has_the_numbers_that_must_pass() {
    let page = text_of("docs/compatibility.md");
    let (_, table) = page
        .split_once("| Suite | Version | Passes at least |\n")
        .expect("the table");
    let rows = table.lines().skip(1);
    let said: Vec<(String, i64)> = rows
        .take_while(|row| row.starts_with('|'))
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let passes = cells[3].replace(',', "").parse().expect("a number");
            (cells[1].to_owned(), passes)
        })
        .collect();

    let suites: DocumentMut = text_of("tests/suites/suites.toml").parse().expect("TOML");
    let wanted: Vec<(String, i64)> = suites
        .iter()
        .map(|(suite, settings)| {
            let passes = settings["passes"].as_integer().expect("passes");
            (suite.to_owned(), passes)
        })
        .collect();
    assert_eq!(said, wanted);
}
