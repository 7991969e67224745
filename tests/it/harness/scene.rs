//! The usual scene: one route named `payments`, a worker that takes tasks and says nothing, and a hand that replies.

use super::{
    Answer, BridgeProcess, Broker, Inbox, Route, Source, Store, TaskMessage, Worker, World,
    eventually, node::run,
};
use activity_sim::{Schedule, TaskRecord, Timeouts};
use std::collections::HashSet;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OnceCell,
};

/// The name of the route, its queue and its task list or activity.
const PAYMENTS: &str = "payments";

/// See the module.
pub struct Scene {
    /// Simulator and virtual host.
    pub world: World,
    /// It replies nothing.
    pub worker: Worker,
    /// The bridge.
    pub bridge: BridgeProcess,
    /// What replies.
    pub inbox: Inbox,
}

impl Scene {
    /// With tasks of SWF, and the defaults of a route.
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With tasks of SWF, and more settings of the route, as lines of TOML.
    pub async fn with(settings: &str) -> Self {
        Self::of(Source::Swf, settings).await
    }

    /// With tasks of this source, and more settings of the route.
    pub async fn of(source: Source, settings: &str) -> Self {
        Self::kept_in(Store::Memory, source, settings).await
    }

    /// With the tasks kept in this store.
    pub async fn kept_in(store: Store, source: Source, settings: &str) -> Self {
        let world = World::new().await.of(source).kept_in(store);
        Self::in_world(world, settings).await
    }

    /// In this world.
    pub async fn in_world(world: World, settings: &str) -> Self {
        let worker = world.worker(PAYMENTS, |_| Vec::new()).await;
        let bridge = world.bridge(&[Route::new(PAYMENTS).with(settings)]).await;
        let inbox = Inbox::connect(&world.amqp_uri).await;
        Self {
            world,
            worker,
            bridge,
            inbox,
        }
    }

    /// What schedules one task on the route.
    pub fn plain(&self) -> Schedule {
        self.world.plain(PAYMENTS)
    }

    /// What schedules one task with these timeouts.
    pub fn timed(&self, timeouts: Timeouts) -> Schedule {
        Schedule {
            timeouts,
            ..self.plain()
        }
    }

    /// Schedules one task and waits for its message. The activity id comes first.
    pub async fn task(&self, schedule: Schedule) -> (String, TaskMessage) {
        // Only SWF's say their activity id; this is the one that was not there before.
        let seen = self.worker.seen().into_iter();
        let before: HashSet<_> = seen.map(|task| task.id()).collect();
        let id = self.world.sim.schedule(schedule).remove(0);
        let message = eventually(&format!("the message of {id}"), || async {
            let mut seen = self.worker.seen().into_iter();
            seen.find(|task| !before.contains(&task.id()))
        })
        .await;
        (id, message)
    }

    /// Schedules a plain task, replies to it, and waits until it is closed.
    pub async fn ended_by(&self, answer: Answer) -> TaskRecord {
        let (id, task) = self.task(self.plain()).await;
        self.inbox.reply(&task, answer).await;
        self.world.closed(&id).await
    }

    /// Waits until every reply to any task of this scene has been acknowledged.
    pub async fn all_replies_acknowledged(&self) {
        let seen = self.worker.seen();
        let reply_to = seen.first().expect("a task").reply_to();
        all_acknowledged(&self.world, &self.inbox, &reply_to).await;
    }
}

/// Waits until nothing is in a queue, and no consumer in the virtual host owes an acknowledgement.
pub async fn all_acknowledged(world: &World, inbox: &Inbox, queue: &str) {
    if world.broker != Broker::RabbitMq {
        // There is no queue of replies: a reply is confirmed when AWS has it, and `Inbox` waits for that.
        return;
    }
    eventually(&format!("{queue} being empty"), || async {
        let passive = lapin::options::QueueDeclareOptions::durable().passive();
        let channel = inbox.channel();
        let found = channel.queue_declare(queue.into(), passive, Default::default());
        let found = found.await.expect("the queue is there");
        (found.message_count() == 0).then_some(())
    })
    .await;
    eventually("every delivery being acknowledged", || async {
        (unacknowledged(world).await == 0).then_some(())
    })
    .await;
}

/// How many deliveries the consumers in the virtual host have not acknowledged. The management API tells of the past; this
/// asks the channels themselves.
pub async fn unacknowledged(world: &World) -> u32 {
    static PORT: OnceCell<u16> = OnceCell::const_new();
    let port = *PORT.get_or_init(listener_in_the_node).await;
    eventually("the node's answer", || async {
        let mut node = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let question = format!("{}\n", world.vhost());
        node.write_all(question.as_bytes()).await.ok()?;
        let mut told = String::new();
        node.read_to_string(&mut told).await.ok()?;
        told.trim().parse().ok()
    })
    .await
}

/// An Erlang process that answers on each TCP connection the unacknowledged deliveries of all channels in a virtual host.
/// `rabbitmqctl list_channels` tells the same, and costs seconds of a processor each time. It asks no channel of another virtual
/// host, which may be stuck. If it can't ask, it answers nothing.
const LISTENER: &str = r#"
    Parent = self(),
    spawn(fun() ->
        {ok, Listener} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}, {packet, line}, {backlog, 128}]),
        {ok, Port} = inet:port(Listener),
        Parent ! {port, Port},
        Answer = fun(Client) ->
            {ok, Line} = gen_tcp:recv(Client, 0),
            VHost = string:trim(Line),
            All = ets:tab2list(channel_created),
            Channels = [Pid || {Pid, Infos} <- All, proplists:get_value(vhost, Infos) =:= VHost],
            Ask = fun(Pid) -> [{_, Count}] = rabbit_channel:info(Pid, [messages_unacknowledged]), Count end,
            Counts = rabbit_misc:filter_exit_map(Ask, Channels),
            gen_tcp:send(Client, io_lib:format("~w~n", [lists:sum(Counts)]))
        end,
        Loop = fun Again() ->
            {ok, Client} = gen_tcp:accept(Listener),
            Asker = spawn(fun() -> receive go -> Answer(Client) end end),
            gen_tcp:controlling_process(Client, Asker),
            Asker ! go,
            Again()
        end,
        Loop()
    end),
    receive {port, Port} -> Port end."#;

/// Starts the listener in the node that all tests share, and returns its port. The listener ends with the node.
async fn listener_in_the_node() -> u16 {
    let dir = super::env("RABBITMQ_NODE_DIR");
    let eval = ["--", "eval", LISTENER];
    let port = run("rabbitmq.py", dir.as_ref(), "ctl", &eval).await;
    port.trim().parse().expect("a port")
}
