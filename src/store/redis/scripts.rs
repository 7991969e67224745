//! What Redis does in one go. Each script touches the keys of one slot of a Cluster.
//!
//! Each may come late, long after its caller gave up on it: Redis may have been frozen, with the command in its socket.
//! So each checks what it finds before it changes anything.

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
    NOTE = "lua/note.lua";
    REMOVE = "lua/remove.lua";
    TAKE = "lua/take.lua";
    REASSERT = "lua/reassert.lua";
    SIGN = "lua/sign.lua";
    POST = "lua/post.lua";
    TAKEN = "lua/taken.lua";
    REMOVE_OWNER = "lua/remove_owner.lua";
    RENEW = "lua/renew.lua";
    LEASE_OF = "lua/lease_of.lua";
}
