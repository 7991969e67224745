use super::*;

mod random;

/// `content` with its length before it.
fn table(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}

/// A table with `levels` levels, each a table or an array of one element. The outermost level is a table.
fn nested(levels: usize, kind: u8) -> Vec<u8> {
    let name: &[u8] = if kind == b'F' { b"\x01n" } else { b"" };
    let mut inner = table(b"");
    for level in (1..levels).rev() {
        let name = if level == 1 { b"\x01n" } else { name };
        inner = table(&[name, &[kind], &inner].concat());
    }
    inner
}

#[test]
fn each_type_is_read_as_rabbitmq_reads_it() {
    let cases: [(&[u8], Value<'_>); 26] = [
        (b"t\x01", Value::Bool(true)),
        (b"t\x02", Value::Bool(true)),
        (b"t\0", Value::Bool(false)),
        (b"b\xff", Value::Integer(-1)),
        (b"B\xff", Value::Integer(255)),
        (b"s\xff\xfe", Value::Integer(-2)),
        (b"U\x7f\xff", Value::Integer(32_767)),
        (b"u\xff\xfe", Value::Integer(65_534)),
        (b"I\xff\xff\xff\xfd", Value::Integer(-3)),
        (b"I\0\0\x01\0", Value::Integer(256)),
        (b"i\xff\xff\xff\xff", Value::Integer(4_294_967_295)),
        (b"l\xff\xff\xff\xff\xff\xff\xff\xfc", Value::Integer(-4)),
        (
            b"l\x7f\xff\xff\xff\xff\xff\xff\xff",
            Value::Integer(i64::MAX),
        ),
        (b"l\x80\0\0\0\0\0\0\0", Value::Integer(i64::MIN)),
        (b"L\xff\xff\xff\xff\xff\xff\xff\xfb", Value::Integer(-5)),
        (b"T\0\0\0\0\0\0\0\x05", Value::Integer(5)),
        (b"V", Value::Void),
        (b"S\0\0\0\x03a\0b", Value::Text(b"a\0b")),
        (b"S\0\0\0\0", Value::Text(b"")),
        (b"x\0\0\0\x01\xff", Value::Text(b"\xff")),
        (b"f\x40\0\0\0", Value::Other(b"f\x40\0\0\0")),
        (b"d\x40\0\0\0\0\0\0\0", Value::Other(b"d\x40\0\0\0\0\0\0\0")),
        (b"D\x02\0\0\0\x05", Value::Other(b"D\x02\0\0\0\x05")),
        (b"A\0\0\0\x01V", Value::Other(b"A\0\0\0\x01V")),
        (b"A\0\0\0\0", Value::Other(b"A\0\0\0\0")),
        (b"F\0\0\0\x03\x01aV", Value::Other(b"F\0\0\0\x03\x01aV")),
    ];
    for (raw, value) in cases {
        let content = [b"\x02\xff\xfe", raw, b"\0V"].concat();
        assert_eq!(check(&table(&content)), Ok(4 + content.len()), "{raw:?}");
        let read: Vec<_> = entries(&content).collect();
        assert_eq!(
            read,
            [Ok((&b"\xff\xfe"[..], value)), Ok((&b""[..], Value::Void))],
            "{raw:?}"
        );
    }
}

#[test]
fn what_is_no_table_is_refused() {
    let cases: [(&[u8], TableError); 13] = [
        (b"", TableError::Truncated),
        (b"\0\0\0", TableError::Truncated),
        (b"\0\0\0\x01", TableError::Truncated),
        (b"\xff\xff\xff\xff", TableError::Truncated),
        (b"\0\0\0\x01\0", TableError::Truncated),
        (b"\0\0\0\x02\x01a", TableError::Truncated),
        (b"\0\0\0\x02\xffV", TableError::Truncated),
        (b"\0\0\0\x02\0Z", TableError::UnknownType(b'Z')),
        (b"\0\0\0\x03\0I\0\0\0\0", TableError::Truncated),
        (b"\0\0\0\x06\0S\xff\xff\xff\xff", TableError::Truncated),
        // The array is longer than the table that holds it; then an element is longer than its array.
        (b"\0\0\0\x06\0A\0\0\0\x01V", TableError::Truncated),
        (b"\0\0\0\x08\0A\0\0\0\x01t\x01", TableError::Truncated),
        (b"\0\0\0\x09\0A\0\0\0\x01t\x01Z", TableError::Truncated),
    ];
    for (bytes, error) in cases {
        assert_eq!(check(bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn a_table_ends_where_its_length_says_and_no_bytes_behind_it_count() {
    let bytes = [&table(b"\x01aV")[..], b"\xff\xff\xff"].concat();
    assert_eq!(check(&bytes), Ok(7));
    assert_eq!(check(&table(b"")), Ok(4));
}

#[test]
fn thirty_two_levels_are_taken_and_one_more_is_refused() {
    for kind in *b"FA" {
        let deepest = nested(MAX_DEPTH, kind);
        assert_eq!(check(&deepest), Ok(deepest.len()));
        assert_eq!(
            check(&nested(MAX_DEPTH + 1, kind)),
            Err(TableError::TooDeep)
        );
    }
}

#[test]
fn levels_side_by_side_do_not_add_up() {
    let one = nested(MAX_DEPTH - 1, b'A');
    let content = [b"\x01aF", &one[..], b"\x01bF", &one[..]].concat();
    assert_eq!(check(&table(&content)), Ok(4 + content.len()));
}

#[test]
fn two_thousand_levels_in_ten_kilobytes_are_refused_or_skipped_on_a_small_stack() {
    let thread = std::thread::Builder::new().stack_size(64 * 1_024);
    let checked = thread.spawn(|| {
        let bytes = nested(2_000, b'A');
        assert!(bytes.len() < 10_100);
        let entry = entries(&bytes[4..]).next().unwrap().unwrap();
        assert!(
            matches!(entry, (b"n", Value::Other(_))),
            "the walk of the top level skips them"
        );
        assert_eq!(check_outer(&bytes), Ok(bytes.len()));
        check(&bytes)
    });
    assert_eq!(checked.unwrap().join().unwrap(), Err(TableError::TooDeep));
}

#[test]
fn what_stands_beside_levels_that_are_skipped_is_checked() {
    let deep = [b"\x01aF", &nested(2_000, b'F')[..]].concat();
    let content = [&deep[..], b"\x01bV"].concat();
    assert_eq!(check_outer(&table(&content)), Ok(4 + content.len()));
    let content = [&deep[..], b"\x01bZ"].concat();
    let unknown = Err(TableError::UnknownType(b'Z'));
    assert_eq!(check_outer(&table(&content)), unknown);
    // The deepest level that is looked into has a table that is longer than itself.
    let mut cut = nested(MAX_DEPTH + 1, b'A');
    if let Some(length) = cut.last_chunk_mut::<4>() {
        *length = [0, 0, 0, 1];
    }
    assert_eq!(check_outer(&cut), Err(TableError::Truncated));
}

#[test]
fn a_bound_counts_the_values_of_all_levels() {
    let content = [b"\x01aA".as_slice(), &table(b"VVV"), b"\x01bV"].concat();
    let bytes = table(&content);
    assert_eq!(check_bounded(&bytes, 5), Ok(bytes.len()));
    assert_eq!(check_bounded(&bytes, 4), Err(TableError::TooMany(4)));
}

#[test]
fn entries_end_with_the_first_error() {
    let read: Vec<_> = entries(b"\x01aV\x01bZ\x01cV").collect();
    assert_eq!(
        read,
        [
            Ok((&b"a"[..], Value::Void)),
            Err(TableError::UnknownType(b'Z'))
        ]
    );
}
