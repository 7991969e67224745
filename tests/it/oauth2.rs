//! A RabbitMQ that takes tokens of OAuth 2.0 as the login. The token is in a file and is replaced before it expires.

use crate::harness::{Answer, BridgeProcess, HOLD, Node, Route, World, unix_ms};
use activity_sim::TaskState;
use rcgen::{KeyPair, SigningKey};
use serde_json::json;
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;

/// What signs tokens.
struct Signer(KeyPair);

impl Signer {
    /// With its public key in a file.
    fn new(file: &Path) -> Self {
        let key = KeyPair::generate().expect("a key");
        fs::write(file, key.public_key_pem()).expect("writable");
        Self(key)
    }

    /// A token that may do everything until a time, in seconds after 1970.
    fn token(&self, expires: u64) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "kid": "test"});
        let all = ["configure", "read", "write"].map(|right| format!("rabbitmq.{right}:*/*"));
        let claims = json!({"sub": "bridge", "aud": ["rabbitmq"], "scope": all, "exp": expires});
        let [header, claims] = [header, claims].map(|part| base64url(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature = self.0.sign(signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", base64url(&raw_signature(&signature)))
    }
}

/// The two numbers of a signature, each of 32 bytes, as JWT has them. In DER they are two integers in a sequence.
fn raw_signature(der: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut rest = &der[2..];
    while let [2, length, number @ ..] = rest {
        let (number, after) = number.split_at(usize::from(*length));
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let number = &number[zeros..];
        raw.resize(raw.len() + 32 - number.len(), 0);
        raw.extend_from_slice(number);
        rest = after;
    }
    assert_eq!(raw.len(), 64, "of P-256");
    raw
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let number = (0..3).fold(0, |all, at| {
            all << 8 | u32::from(group.get(at).copied().unwrap_or_default())
        });
        for digit in 0..=group.len() {
            let index = number >> (18 - 6 * digit) & 63;
            text.push(char::from(DIGITS[index as usize]));
        }
    }
    text
}

/// A node that takes tokens, and passwords too, for the workers of the test.
async fn node(key: &Path) -> Node {
    let settings = format!(
        "auth_backends.1 = rabbit_auth_backend_oauth2\nauth_backends.2 = internal\n\
         auth_oauth2.resource_server_id = rabbitmq\nauth_oauth2.default_key = test\n\
         auth_oauth2.signing_keys.test = {}\n",
        key.display()
    );
    Node::start_with_plugins(&settings, &["rabbitmq_auth_backend_oauth2"]).await
}

fn now_secs() -> u64 {
    unix_ms() / 1_000
}

#[tokio::test]
async fn a_new_token_is_told_before_the_old_one_expires_and_no_connection_ends() {
    /// Time for which the first token is valid, in seconds. It is the time for the start of the bridge.
    const FIRST_SECS: u64 = 30;
    let folder = TempDir::new().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let signer = Signer::new(&file("key.pem"));
    let node = node(&file("key.pem")).await;
    let write = |token: &str| {
        fs::write(file("next"), format!("{token}\n")).expect("writable");
        fs::rename(file("next"), file("token")).expect("renamed");
    };
    let (_, server) = node.amqp_uri.split_once('@').expect("a login");
    let world = World::at(format!("amqp://{server}"), HOLD).await;
    let plain = World::at(node.amqp_uri.clone(), HOLD).await;
    let _worker = plain.worker("payments", |_| Answer::done("ok")).await;
    let completes = async || {
        let id = world.schedule("payments", 1).remove(0);
        assert_eq!(world.closed(&id).await.state, TaskState::Completed);
    };

    let config = world.write_config("", &[Route::new("payments")]);
    let text = fs::read_to_string(&config).expect("a configuration");
    let with_token = format!("[amqp]\ntoken_file = {:?}\n", file("token"));
    fs::write(&config, text.replace("[amqp]\n", &with_token)).expect("writable");
    let expires = now_secs() + FIRST_SECS;
    let first = signer.token(expires);
    write(&first);
    let bridge = BridgeProcess::start(&config, &world.sim.url(), &[]).await;
    completes().await;
    let second = signer.token(now_secs() + 3_600);
    write(&second);
    bridge.logged("the broker has the new token").await;
    // RabbitMQ looks at a token's age by the second.
    let left = (expires + 3).saturating_sub(now_secs());
    tokio::time::sleep(Duration::from_secs(left)).await;
    for _ in 0..3 {
        completes().await;
    }
    let log = bridge.log();
    assert!(!log.contains("no connection to the broker"), "{log}");

    // A token that is no good ends the connections, and the next one mends it.
    write("ey.no.token");
    bridge.logged("no connection to the broker").await;
    write(&signer.token(now_secs() + 3_600));
    completes().await;
    let log = bridge.log();
    for token in [first, second] {
        assert!(!log.contains(&token));
    }
}
