use super::*;

fn user(name: &str, password: Option<&str>, certificate_name: Option<&str>) -> User {
    User {
        name: name.to_owned(),
        password: password.map(|text| text.as_bytes().to_vec()),
        certificate_name: certificate_name.map(str::to_owned),
        queues: Some(Arc::new(BTreeSet::from([name.into()]))),
        parked: false,
    }
}

/// A client of an endpoint with these users, that has shown a certificate with these names.
fn login(users: &[User], certificate: Option<&[&str]>) -> Login {
    let users = Users {
        anyone: false,
        all: users.to_vec(),
    };
    Login {
        users: Arc::new(users),
        certificate: certificate.map(CertificateNames::of),
    }
}

/// The user as whom a client is logged in.
fn logged_in(login: &Login, mechanism: &str, response: &str) -> Result<String, String> {
    let rights = login.check(mechanism, response.as_bytes())?;
    let queues = rights.queues.expect("each user has a queue");
    Ok(queues.first().expect("each user has a queue").to_string())
}

#[test]
fn a_user_needs_its_password_by_either_mechanism() {
    let login = login(&[user("shop", Some("se\u{e9}cret"), None)], None);
    assert_eq!(login.mechanisms(), "PLAIN AMQPLAIN");
    let plain = "\0shop\0se\u{e9}cret".as_bytes();
    assert!(
        login
            .check("PLAIN", plain)
            .is_ok_and(|rights| rights.queues.is_some())
    );
    let text = |name: &str, value: &str| {
        let mut bytes = vec![u8::try_from(name.len()).expect("short")];
        bytes.extend(name.as_bytes());
        bytes.push(b'S');
        bytes.extend(u32::try_from(value.len()).expect("short").to_be_bytes());
        bytes.extend(value.as_bytes());
        bytes
    };
    let table = [text("LOGIN", "shop"), text("PASSWORD", "se\u{e9}cret")].concat();
    assert!(login.check("AMQPLAIN", &table).is_ok());
    for (mechanism, response) in [
        ("PLAIN", "\0shop\0wrong"),
        ("PLAIN", "\0shop\0"),
        ("PLAIN", "\0other\0se\u{e9}cret"),
        ("PLAIN", "shop"),
        ("AMQPLAIN", "\0shop\0se\u{e9}cret"),
        ("EXTERNAL", ""),
    ] {
        assert!(
            login.check(mechanism, response.as_bytes()).is_err(),
            "{mechanism} {response:?}"
        );
    }
}

#[test]
fn a_certificate_logs_in_the_user_that_it_names_whatever_the_client_says() {
    let users = [
        user("one", None, Some("one.shop")),
        user("two", Some("secret"), Some("two.shop")),
        user("three", Some("secret"), None),
    ];
    let shown = login(&users, Some(&["x", "two.shop"]));
    assert_eq!(shown.mechanisms(), "PLAIN AMQPLAIN EXTERNAL");
    for response in ["", "one", "\0*\0*", "\0one\0"] {
        assert_eq!(
            logged_in(&shown, "EXTERNAL", response).as_deref(),
            Ok("two")
        );
    }
    // A certificate takes the way by password from nobody, and a user without a password has none.
    assert_eq!(
        logged_in(&shown, "PLAIN", "\0three\0secret").as_deref(),
        Ok("three")
    );
    assert!(logged_in(&shown, "PLAIN", "\0one\0").is_err());
}

#[test]
fn a_certificate_that_names_no_user_or_two_is_refused_with_the_reason() {
    let users = [
        user("one", None, Some("one.shop")),
        user("two", None, Some("two.shop")),
    ];
    for (names, reason) in [
        (
            vec![],
            "no user with the certificate_name of a certificate without a name that counts",
        ),
        (
            vec!["a\nb"],
            r#"no user with the certificate_name of a certificate with the name "a\nb""#,
        ),
        (
            vec!["a", "b", "c"],
            r#"no user with the certificate_name of a certificate with the name "a" and 2 more"#,
        ),
        (
            vec!["one.shop", "two.shop"],
            r#"the certificate has the names of two users: "one" and "two""#,
        ),
    ] {
        let refused = logged_in(&login(&users, Some(&names)), "EXTERNAL", "");
        assert_eq!(refused, Err(reason.to_owned()));
    }
}

#[test]
fn external_is_offered_only_to_a_certificate_and_only_if_a_user_logs_in_with_one() {
    let with = [user("one", None, Some("one.shop"))];
    let without = [user("one", Some("secret"), None)];
    for (login, offered) in [
        (login(&with, Some(&["one.shop"])), true),
        (login(&with, Some(&["other"])), true),
        (login(&with, None), false),
        (login(&without, Some(&["one.shop"])), false),
        (login(&[], Some(&["one.shop"])), false),
    ] {
        assert_eq!(
            login.mechanisms().contains("EXTERNAL"),
            offered,
            "{login:?}"
        );
        if !offered {
            let refused = logged_in(&login, "EXTERNAL", "");
            let reason = r#"the mechanism "EXTERNAL" is not offered"#;
            assert_eq!(refused, Err(reason.to_owned()));
        }
    }
}

#[test]
fn without_users_any_credentials_are_taken() {
    let anyone = Login {
        users: Arc::new(Users {
            anyone: true,
            ..Users::default()
        }),
        certificate: None,
    };
    assert!(anyone.check("PLAIN", b"\0guest\0guest").is_ok());
    assert!(Login::default().check("PLAIN", b"\0guest\0guest").is_err());
}
