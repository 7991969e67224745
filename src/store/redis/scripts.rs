//! The scripts that Redis executes atomically. Each script touches only keys of one slot of a Cluster.
//!
//! A script may be executed late, long after its caller gave up: Redis may have been frozen with the command in its socket.
//! Therefore each script checks the present state before it changes anything.

use redis::Script;
use std::sync::LazyLock;

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));)*
    };
}

scripts! {
    INSERT = "lua/insert.lua";
    CONFIRM = "lua/confirm.lua";
    LOSE_MESSAGE = "lua/lose_message.lua";
    KEEP_OUTCOME = "lua/keep_outcome.lua";
    NOTE = "lua/note.lua";
    REMOVE = "lua/remove.lua";
    CHANGE_OWNER = "lua/change_owner.lua";
    REASSERT = "lua/reassert.lua";
    MARK_BEGUN = "lua/mark_begun.lua";
    POST = "lua/post.lua";
    NOTIFY_OWNER = "lua/notify_owner.lua";
    REMOVE_OWNER = "lua/remove_owner.lua";
    RENEW = "lua/renew.lua";
    READ_INBOX = "lua/read_inbox.lua";
    SET_ASIDE = "lua/set_aside.lua";
    LEASE_OF = "lua/lease_of.lua";
}
