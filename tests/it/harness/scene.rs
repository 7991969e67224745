//! The usual scene: one route named `payments`, a worker that takes tasks and says nothing, and a hand that replies.

use super::{
    Answer, BridgeProcess, Broker, Inbox, Route, Source, Store, TaskMessage, Worker, World,
    eventually, node::run,
};
use activity_sim::{Schedule, TaskRecord, Timeouts};
use std::collections::HashSet;
use tokio::{io::AsyncReadExt, net::TcpStream, sync::OnceCell};

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
    let told = eventually("the node's answer", || async {
        let mut node = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let mut told = String::new();
        node.read_to_string(&mut told).await.ok()?;
        told.ends_with("end\n").then_some(told)
    })
    .await;
    let channels = told.lines().filter_map(|line| line.split_once('\t'));
    let ours = channels.filter(|(vhost, _)| *vhost == world.vhost());
    ours.map(|(_, count)| count.parse::<u32>().expect("a number"))
        .sum()
}

/// An Erlang process that answers every TCP connection with the virtual host and the unacknowledged deliveries of each
/// channel. `rabbitmqctl list_channels` tells the same, and costs seconds of a processor each time. If it can't ask, it answers
/// nothing, and goes on.
const LISTENER: &str = r#"
    Parent = self(),
    spawn(fun() ->
        {ok, Listener} = gen_tcp:listen(0, [binary, {ip, {127, 0, 0, 1}}, {active, false}, {backlog, 128}]),
        {ok, Port} = inet:port(Listener),
        Parent ! {port, Port},
        Loop = fun Again() ->
            {ok, Client} = gen_tcp:accept(Listener),
            try
                Channels = rabbit_channel:info_all([vhost, messages_unacknowledged]),
                Lines = [io_lib:format("~s\t~w~n", [Value || {_, Value} <- Channel]) || Channel <- Channels],
                gen_tcp:send(Client, [Lines, "end\n"])
            catch _:_ -> a_channel_that_closes_meanwhile
            end,
            gen_tcp:close(Client),
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
