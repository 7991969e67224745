use super::*;
use crate::{
    admin::status::shape::{
        Advice, BrokerStatus, InFlight, Note, QueueStatus, ReplyTotals, StoreStatus,
    },
    metrics::RouteTotals,
};

const HOSTILE: &str = "</td><script>alert(1)</script>\" onclick='x' &amp;";

fn advice(text: &str) -> Option<Advice> {
    Some(Advice {
        text: text.to_owned(),
        section: "docs/operations.md#readiness".to_owned(),
    })
}

/// A status with this text wherever one comes from outside.
fn status(text: &str) -> Status {
    let words = || text.to_owned();
    let note = Note {
        text: words(),
        advice: advice(text),
    };
    let route = RouteStatus {
        name: words(),
        source: words(),
        destination: words(),
        state: words(),
        advice: advice(text),
        notes: vec![note.clone()],
        slots: 100,
        slots_taken: 7,
        totals: RouteTotals {
            ended: 4,
            duration_secs: 6.0,
            not_taken: 1,
            ..RouteTotals::default()
        },
        ..RouteStatus::default()
    };
    Status {
        host: words(),
        phase: words(),
        version: words(),
        advice: advice(text),
        broker: BrokerStatus {
            kind: words(),
            state: words(),
            ..BrokerStatus::default()
        },
        store: StoreStatus {
            place: words(),
            state: words(),
            notes: vec![note],
            ..StoreStatus::default()
        },
        replies: ReplyTotals::default(),
        routes: vec![route],
        problems: vec![Problem {
            level: words(),
            route: words(),
            message: words(),
            fields: words(),
            advice: advice(text),
            ..Problem::default()
        }],
        ..Status::default()
    }
}

#[test]
fn no_text_becomes_a_tag_or_an_attribute() {
    let tags = |html: &str| {
        let tag = |part: &str| {
            part.split([' ', '>', '\n'])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        html.split('<').skip(1).map(tag).collect::<Vec<_>>()
    };
    let (hostile, harmless) = (page(&status(HOSTILE), "0"), page(&status("x"), "0"));
    assert!(
        !hostile.contains("<script>") && !hostile.contains("alert(1)</"),
        "{hostile}"
    );
    assert!(!hostile.contains("onclick='"), "{hostile}");
    assert_eq!(tags(&hostile), tags(&harmless));
    assert_eq!(hostile.matches('"').count(), harmless.matches('"').count());
}

#[test]
fn the_page_names_no_other_host_and_has_its_nonce_at_its_style_and_script_alone() {
    let html = page(&status("x"), "abc123");
    assert_eq!(html.matches("nonce=\"abc123\"").count(), 2);
    let known = "http://www.w3.org/2000/svg";
    assert!(!html.replace(known, "").contains("://"), "{html}");
    // The policy forbids them.
    for forbidden in [" style=", " onload=", "@import", "url("] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
}

#[test]
fn routes_that_need_a_person_come_first() {
    let mut status = status("x");
    let route = |name: &str, ready: bool| RouteStatus {
        name: name.to_owned(),
        ready,
        ..RouteStatus::default()
    };
    status.routes = vec![
        route("alpha", true),
        route("beta", false),
        route("gamma", true),
    ];
    let html = page(&status, "0");
    let at = |name: &str| html.find(&format!(">{name}<")).expect("it is there");
    assert!(at("beta") < at("alpha") && at("alpha") < at("gamma"));
}

#[test]
fn a_route_shows_its_numbers_in_words() {
    let mut status = status("x");
    status.routes[0].in_flight = InFlight {
        waiting: 1_234,
        working: 3,
        ..InFlight::default()
    };
    status.routes[0].oldest_task_secs = Some(185);
    status.routes[0].queue = Some(QueueStatus {
        consumers: 12,
        ..QueueStatus::default()
    });
    let html = page(&status, "0");
    for shown in [
        "1,237<small><span class=\"of\">1,234 waiting</span>, <span class=\"of\">3 working</span></small>",
        "data-label=\"Oldest\">3 min 5 s<",
        "data-label=\"Consumers\">12<",
        // The broker does not tell it.
        "data-label=\"Credit\">–<",
        "7<span class=\"dim\"> / 100</span>",
        "<b>1.5 s</b>",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
}
