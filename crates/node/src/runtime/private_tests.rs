//! Pods with networks of their own: real processes in real network namespaces, as whoever runs the tests.
//!
//! Where the host forbids such namespaces the tests say so and pass.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket},
};

use ferroflow_platform::{clock::SystemClock, kubelet::ExitStatus, task::Group};
use tokio::io::AsyncReadExt;

use super::{
    jail_tests::is_static,
    network_tests::{Pod, line},
    process::ProcessRuntime,
    tests::{PATIENCE, record, shell, shim_command},
    *,
};
use crate::{
    core::network::{self, DNS, Protocol, Table, Target},
    services::hub::Hub,
};

/// A node whose pods have networks of their own, and nothing that writes its table but the test.
struct Net {
    directory: tempfile::TempDir,
    node: ProcessRuntime,
    hub: Hub,
    table: Table,
    group: Group,
}

impl Net {
    /// `None` where this host does not let this user have such networks.
    async fn new() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let (clock, group) = (SystemClock::shared(), Group::new());
        let level =
            trial::choose(Some(Isolation::Environment), directory.path(), &shim_command(), &clock, &group).await;
        if let Err(error) = level {
            println!("skipped: {error}");
            return None;
        }
        let (node, hub) = match Self::begin(directory.path(), &group).await {
            Ok(begun) => begun,
            Err(reason) => {
                println!("skipped: {reason}");
                return None;
            }
        };
        let table = Table { version: 1, block: 200, dns_port: 53, ..Table::default() };
        let net = Self { directory, node, hub, table, group };
        net.write();
        Some(net)
    }

    async fn begin(directory: &std::path::Path, group: &Group) -> Result<(ProcessRuntime, Hub), String> {
        let hub = Hub::open(directory, &shim_command(), group).await?;
        let (pods, clock) = (directory.join("pods"), SystemClock::shared());
        let node = ProcessRuntime::new(pods, Isolation::Environment, shim_command(), clock, group.clone()).unwrap();
        Ok((node.with_network(directory.join("table.json"), Some(hub.path().to_owned())), hub))
    }

    /// Another server in place of this one; pods and the hub go on.
    async fn restart(mut self) -> Self {
        self.group.stop(PATIENCE).await.unwrap();
        self.group = Group::new();
        let directory = self.directory.path().to_owned();
        drop((self.node, self.hub));
        (self.node, self.hub) = Self::begin(&directory, &self.group).await.unwrap();
        self
    }

    fn write(&self) {
        let path = self.directory.path().join("table.json");
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, serde_json::to_vec(&self.table).unwrap()).unwrap();
        std::fs::rename(temporary, path).unwrap();
    }

    /// Makes the service lead to these backends.
    fn service(&mut self, at: &str, protocol: Protocol, backends: &[&str]) {
        let backends = backends.iter().map(|text| text.parse::<SocketAddrV4>().unwrap());
        let backends = backends.map(|backend| (*backend.ip(), backend.port())).collect();
        let key = network::key(at.parse().unwrap(), protocol);
        self.table.services.insert(key, Target { backends, affinity_s: None });
        self.write();
    }

    /// The sandbox of a pod with this address: the one that an earlier server left, or a new one.
    async fn open(&self, address: &str) -> Pod {
        let (sender, events) = mpsc::channel(16);
        let record = PodRecord { address: address.to_owned(), ..record(&format!("uid-{address}")) };
        Pod { sandbox: self.node.open(record, sender).await.unwrap(), events }
    }

    /// A pod with this address that does nothing.
    async fn pod(&self, address: &str) -> Pod {
        self.pod_with(address, Launch::default()).await
    }

    async fn pod_with(&self, address: &str, like: Launch) -> Pod {
        let pod = self.open(address).await;
        let root = Root::Environment { paths: Vec::new() };
        let Launch { sysctls, .. } = like;
        let launch = Launch { root, sysctls, ..shell("main", "exec sleep 600") };
        let attempt = pod.sandbox.start(launch).await.unwrap();
        assert!(attempt.is_running(), "{attempt:?}");
        pod
    }

    async fn end(&self, pods: &[&Pod]) {
        for pod in pods {
            pod.sandbox.destroy().await.unwrap();
        }
    }

    /// What the host hears from a port of a pod.
    async fn hear(&self, to: &str) -> String {
        let mut stream = self.hub.connect(to.parse().unwrap()).await.unwrap();
        let mut said = String::new();
        tokio::time::timeout(PATIENCE, stream.read_to_string(&mut said)).await.unwrap().unwrap();
        said
    }
}

#[tokio::test]
async fn two_pods_serve_on_one_port_below_1024_and_a_service_leads_to_both() {
    let Some(mut net) = Net::new().await else { return };
    let (one, two) = (net.pod("10.244.1.1").await, net.pod("10.244.1.2").await);
    let (_, _first) = one.serve("serve(listen(('0.0.0.0', 80)), 'one')").await;
    let (_, _second) = two.serve("serve(listen(('::', 80), socket.AF_INET6), 'two')").await;
    let ask = "for to in ('127.0.0.1', '10.244.1.1', '10.244.1.2'): say(ask((to, 80)))";
    assert_eq!(one.run(ask).await, "one 127.0.0.1\none 10.244.1.1\ntwo ::ffff:10.244.1.1");

    net.service("10.96.0.20:8000", Protocol::Tcp, &["10.244.1.1:80", "10.244.1.2:80"]);
    let many = "say(sorted(ask(('10.96.0.20', 8000)).split()[0] for _ in range(4)))";
    assert_eq!(two.run(many).await, "['one', 'one', 'two', 'two']");
    let named = "
c = socket.create_connection(('10.96.0.20', 8000)); say(c.getpeername(), c.getsockname()[0])
d = socket.socket(socket.AF_INET6); d.connect(('::ffff:10.96.0.20', 8000)); say(d.getpeername()[:2])
import select
e = socket.socket(); e.setblocking(False); e.connect_ex(('10.96.0.20', 8000))
say(select.select([], [e], [], 10)[1] == [e], e.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))";
    let expected = "('10.96.0.20', 8000) 10.244.1.2\n('::ffff:10.96.0.20', 8000)\nTrue 0";
    assert_eq!(two.run(named).await, expected);

    net.service("10.96.0.20:8000", Protocol::Tcp, &[]);
    let gone = "say(ask(('10.96.0.20', 8000)), ask(('10.96.0.99', 80)), ask(('10.244.1.1', 81)))";
    assert_eq!(two.run(gone).await, "ECONNREFUSED EHOSTUNREACH ECONNREFUSED");

    assert_eq!(net.hear("10.244.1.1:80").await, "one 10.244.0.1");
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn a_static_program_reaches_a_service() {
    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| is_static(path)) else {
        return println!("skipped: there is no static busybox");
    };
    let Some(mut net) = Net::new().await else { return };
    let (one, two) = (net.pod("10.244.13.1").await, net.pod("10.244.13.2").await);
    net.service("10.96.0.26:80", Protocol::Tcp, &["10.244.13.1:8080"]);
    let (_, _session) = one.serve("serve(listen(('', 8080)), 'one')").await;
    let script = format!(
        "import subprocess
say(subprocess.run(['{busybox}', 'nc', '10.96.0.26', '80'], stdin=subprocess.DEVNULL, capture_output=True, text=True))"
    );
    let said = two.run(&script).await;
    assert!(said.contains("returncode=0, stdout='one 10.244.13.2'"), "{said}");
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn a_server_knows_its_clients_by_their_pods_addresses() {
    let Some(net) = Net::new().await else { return };
    let (one, two) = (net.pod("10.244.2.1").await, net.pod("10.244.2.2").await);
    let server = "
s = listen(('', 8080)); say(s.getsockname())
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('', 8080))
c, who = s.accept(); say(who[0], c.getsockname(), c.getpeername()[0])
data, who = u.recvfrom(99); say(data, who[0]); u.sendto(data.upper(), who)";
    let (name, mut session) = one.serve(server).await;
    assert_eq!(name, "('0.0.0.0', 8080)");
    let client = "
c = socket.create_connection(('10.244.2.1', 8080)); say(c.getsockname()[0])
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
u.sendto(b'word', ('10.244.2.1', 8080)); data, who = u.recvfrom(99); say(data, who)";
    assert_eq!(two.run(client).await, "10.244.2.2\nb'WORD' ('10.244.2.1', 8080)");
    assert_eq!(line(&mut session).await, "10.244.2.2 ('10.244.2.1', 8080) 10.244.2.2");
    assert_eq!(line(&mut session).await, "b'word' 10.244.2.2");
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn a_pod_sees_its_own_interfaces_and_the_settings_that_it_asked_for() {
    let Some(net) = Net::new().await else { return };
    let sysctls = BTreeMap::from([("net.core.somaxconn".to_owned(), "77".to_owned())]);
    let pod = net.pod_with("10.244.3.1", Launch { sysctls, ..Launch::default() }).await;
    let script = "
import fcntl, struct
say(sorted(name for _, name in socket.if_nameindex()), sorted(os.listdir('/sys/class/net')))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
say(*[socket.inet_ntoa(fcntl.ioctl(s, what, struct.pack('16s24x', b'eth0'))[20:24]) for what in (0x8915, 0x891b)])
say(open('/sys/class/net/eth0/address').read().strip(), open('/proc/sys/net/core/somaxconn').read().strip())
for to in ('10.96.4.4', '10.244.7.12', '192.0.2.77'):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.connect((to, 80)); say(u.getsockname()[0])
p = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP); p.settimeout(10)
p.sendto(b'\\x08\\0\\0\\0\\0\\0\\0\\1', ('10.244.0.1', 0)); say(p.recvfrom(99)[1][0])";
    let expected = "['eth0', 'lo'] ['eth0', 'lo']
10.244.3.1 255.255.0.0
0a:58:0a:f4:03:01 77
10.244.3.1
10.244.3.1
10.244.3.1
10.244.0.1";
    assert_eq!(pod.run(script).await, expected);
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn a_pod_reaches_the_host_by_the_nodes_address_and_learns_what_does_not_answer() {
    let Some(net) = Net::new().await else { return };
    let pod = net.pod("10.244.4.1").await;
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = host.local_addr().unwrap().port();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let echo = std::thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, from) = host.accept().unwrap();
            assert!(from.ip().is_loopback());
            let mut said = Vec::new();
            stream.read_to_end(&mut said).unwrap();
            stream.write_all(&said).unwrap();
        }
    });
    let script = format!(
        "
def speak(c, n):
    t = threading.Thread(target=lambda: (c.sendall(b'x' * n), c.shutdown(socket.SHUT_WR))); t.start()
    got = 0
    while data := c.recv(1 << 20): got += len(data)
    return got
c = socket.create_connection(('10.200.0.1', {port})); say(c.getpeername(), c.getsockname()[0], speak(c, 3000000))
import select
d = socket.socket(); d.setblocking(False); d.connect_ex(('10.200.0.1', {port})); select.select([], [d], [], 10)
say(d.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)); d.setblocking(True); say(speak(d, 10))
e = socket.socket(socket.AF_INET6); e.connect(('::ffff:10.200.0.1', {port})); say(e.getpeername()[0], speak(e, 10))
say(ask(('10.200.0.1', {free})), ask(('127.0.0.1', {port})), ask(('::1', {port}), socket.AF_INET6))
f = socket.socket(); f.setblocking(False); say(errno.errorcode[f.connect_ex(('10.200.0.1', {free}))])"
    );
    let expected = format!(
        "('10.200.0.1', {port}) 10.244.4.1 3000000
0
10
::ffff:10.200.0.1 10
ECONNREFUSED ECONNREFUSED ECONNREFUSED
ECONNREFUSED"
    );
    assert_eq!(pod.run(&script).await, expected);
    echo.join().unwrap();
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn a_pod_reaches_what_the_host_reaches() {
    let Some(net) = Net::new().await else { return };
    // An address of this host that is none of loopback stands for the world.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let own = match probe.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).and_then(|()| probe.local_addr()) {
        Ok(SocketAddr::V4(own)) => *own.ip(),
        _ => return println!("skipped: this host has no address but loopback"),
    };
    let pod = net.pod("10.244.5.1").await;
    let host = TcpListener::bind((own, 0)).unwrap();
    let port = host.local_addr().unwrap().port();
    let client = format!("c = socket.create_connection(('{own}', {port})); say(c.getpeername()[0]); say(c.recv(9))");
    let mut session = pod.begin(&client).await;
    let (mut stream, from) = tokio::task::spawn_blocking(move || host.accept().unwrap()).await.unwrap();
    assert_eq!(from.ip(), own);
    stream.write_all(b"word").unwrap();
    assert_eq!(line(&mut session).await, own.to_string());
    assert_eq!(line(&mut session).await, "b'word'");
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn a_knock_that_the_pods_supervisor_does_not_claim_leads_nowhere() {
    let Some(net) = Net::new().await else { return };
    let pod = net.pod("10.244.6.1").await;
    let door = net.hub.hello().way_out;
    let script = format!(
        "c = socket.create_connection(('{}', {}))
try: say(c.recv(9))
except OSError as e: say(errno.errorcode[e.errno])",
        door.ip(),
        door.port()
    );
    assert_eq!(pod.run(&script).await, "ECONNRESET");
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn names_are_asked_by_datagrams_at_the_clusters_address_and_services_of_datagrams_have_endpoints() {
    let Some(mut net) = Net::new().await else { return };
    let (one, two) = (net.pod("10.244.7.1").await, net.pod("10.244.7.2").await);
    let server = net.hub.listen_for_datagrams(SocketAddrV4::new(DNS, 53)).await.unwrap();
    let answer = tokio::spawn(async move {
        let mut bytes = [0; 99];
        for _ in 0..3 {
            let (length, from) = server.recv_from(&mut bytes).await.unwrap();
            server.send_to(format!("{} {}", length, from.ip()).as_bytes(), from).await.unwrap();
        }
    });
    let client = "
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10); return s
a = udp(); a.sendto(b'question', ('10.96.0.10', 53)); say(a.recvfrom(99))
b = udp(); b.connect(('192.0.2.53', 53)); b.send(b'elsewhere'); say(b.recv(99), b.getpeername())
c = udp(); c.sendto(b'pod', ('10.244.255.10', 53)); say(c.recv(99))";
    let expected = "(b'8 10.244.7.2', ('10.96.0.10', 53))
b'9 10.244.7.2' ('192.0.2.53', 53)
b'3 10.244.7.2'";
    assert_eq!(two.run(client).await, expected);
    answer.await.unwrap();

    net.service("10.96.0.23:53", Protocol::Udp, &["10.244.7.1:5353"]);
    let server = "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 5353)); say('ready')
while True:
    data, peer = s.recvfrom(100000); s.sendto(data.upper(), peer)";
    let (_, _session) = one.serve(server).await;
    let client = "
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10); return s
a = udp(); a.connect(('10.96.0.23', 53)); a.send(b'connected'); say(a.recv(99), a.getsockname()[0], a.getpeername())
b = udp(); b.sendto(b'unbound', ('10.96.0.23', 53)); say(b.recv(99))
c = udp(); say(c.sendto(b'x' * 60000, ('10.244.7.1', 5353)), len(c.recv(100000)))";
    let expected = "b'CONNECTED' 10.244.7.2 ('10.96.0.23', 53)\nb'UNBOUND'\n60000 60000";
    assert_eq!(two.run(client).await, expected);
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn the_host_reaches_what_listens_on_a_pods_loopback_alone_and_no_pod_does() {
    let Some(net) = Net::new().await else { return };
    let (one, two) = (net.pod("10.244.8.1").await, net.pod("10.244.8.2").await);
    let (_, _session) = one.serve("serve(listen(('127.0.0.1', 8080)), 'one')").await;
    let own = "10.244.8.1".parse().unwrap();
    let mut stream = net.hub.enter(own, 8080).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "one 127.0.0.1");
    let refused = net.hub.connect(SocketAddrV4::new(own, 8080)).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(two.run("say(ask(('10.244.8.1', 8080)))").await, "ECONNREFUSED");
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn datagrams_are_carried_to_the_host_and_from_pods_of_its_network() {
    let Some(net) = Net::new().await else { return };
    let (pod, on_host) = (net.pod("10.244.12.1").await, net.pod("10.200.0.1").await);
    let host = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = host.local_addr().unwrap().port();
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; 65_536];
        for _ in 0..4 {
            let (length, from) = host.recv_from(&mut bytes).unwrap();
            host.send_to(&bytes[..length].to_ascii_uppercase(), from).unwrap();
        }
    });
    let udp = "
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10); return s
";
    let client = format!(
        "{udp}
a = udp(); a.connect(('10.200.0.1', {port})); a.send(b'one'); say(a.recv(99), a.getpeername(), a.getsockname()[0])
b = udp(); b.bind(('', 9000)); b.sendto(b'two', ('10.200.0.1', {port})); say(b.recv(99))
b.sendto(b'three', ('10.200.0.1', {port})); say(b.recv(99))
a.send(b'x' * 60000); say(len(a.recv(100000)))"
    );
    let expected = format!("b'ONE' ('10.200.0.1', {port}) 10.244.12.1\nb'TWO'\nb'THREE'\n60000");
    assert_eq!(pod.run(&client).await, expected);
    echo.join().unwrap();
    let server =
        format!("{udp}\ns = udp(); s.bind(('', 5353)); say('ready'); d, who = s.recvfrom(9); s.sendto(d.upper(), who)");
    let (_, _session) = pod.serve(&server).await;
    let client =
        format!("{udp}\nc = udp(); c.connect(('10.244.12.1', 5353)); c.send(b'in'); say(c.recv(9), c.getpeername())");
    assert_eq!(on_host.run(&client).await, "b'IN' ('10.244.12.1', 5353)");
    net.end(&[&pod, &on_host]).await;
}

#[tokio::test]
async fn a_pod_of_the_hosts_network_reaches_services_and_listens_on_the_host() {
    let Some(mut net) = Net::new().await else { return };
    let (pod, other) = (net.pod("10.200.0.1").await, net.pod("10.244.9.1").await);
    net.service("10.96.0.24:80", Protocol::Tcp, &["10.244.9.1:8080"]);
    let (_, _session) = other.serve("serve(listen(('0.0.0.0', 8080)), 'other')").await;
    let script = "
say(ask(('10.96.0.24', 80)), ask(('10.244.9.1', 8080)), ask(('10.244.9.1', 8081)))
s = listen(('127.0.0.1', 0)); say(s.getsockname()[1])
s.accept()";
    let (said, mut session) = pod.serve(script).await;
    assert_eq!(said, "other 10.244.0.1 other 10.244.0.1 ECONNREFUSED");
    let port: u16 = line(&mut session).await.parse().unwrap();
    std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert_eq!(session.exit.await, ExitStatus::Code(0));
    net.end(&[&pod, &other]).await;
}

#[tokio::test]
async fn pods_and_their_hub_outlive_the_server_and_the_hub_ends_with_the_last_pod() {
    let Some(mut net) = Net::new().await else { return };
    let address = "10.244.10.1";
    let (one, two) = (net.pod(address).await, net.pod("10.244.10.2").await);
    net.service("10.96.0.25:80", Protocol::Tcp, &["10.244.10.1:8080"]);
    let (_, mut kept) = one
        .serve("import time\nif os.fork() == 0:\n  os.setsid(); serve(listen(('', 8080)), 'one')\ntime.sleep(600)")
        .await;
    kept.stdin.take();
    let first = net.hub.hello();
    let before = two.run("say(ask(('10.96.0.25', 80)))").await;
    drop((one, two));
    let net = net.restart().await;
    let (one, two) = (net.open(address).await, net.open("10.244.10.2").await);
    assert_eq!(net.hub.hello(), first, "the hub is the same");
    assert_eq!(two.run("say(ask(('10.96.0.25', 80)))").await, before);
    assert_eq!(net.hear("10.244.10.1:8080").await, "one 10.244.0.1");
    let three = net.pod("10.244.10.3").await;
    assert_eq!(three.run("say(ask(('10.96.0.25', 80)))").await, "one 10.244.10.3");
    net.end(&[&one, &two, &three]).await;

    let hub = rustix::process::Pid::from_raw(i32::try_from(first.pid).unwrap()).unwrap();
    let ended = rustix::process::pidfd_open(hub, rustix::process::PidfdFlags::empty()).unwrap();
    let Net { directory, node, hub, group, .. } = net;
    group.stop(PATIENCE).await.unwrap();
    drop((node, hub));
    let waited = tokio::task::spawn_blocking(move || {
        let mut set = [rustix::event::PollFd::new(&ended, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut set, Some(&PATIENCE.try_into().unwrap())).unwrap()
    });
    assert_eq!(waited.await.unwrap(), 1, "the hub has ended");
    drop(directory);
}

#[tokio::test]
async fn a_pod_whose_hub_was_killed_ends_and_starts_again_with_a_new_one() {
    let Some(net) = Net::new().await else { return };
    let mut pod = net.pod("10.244.11.1").await;
    let mut generation = net.hub.generation();
    let hub = rustix::process::Pid::from_raw(i32::try_from(net.hub.hello().pid).unwrap()).unwrap();
    rustix::process::kill_process(hub, rustix::process::Signal::KILL).unwrap();
    let lost = async { while !matches!(pod.events.recv().await, Some(Event::SupervisorLost)) {} };
    tokio::time::timeout(PATIENCE, lost).await.expect("the pod ends");
    tokio::time::timeout(PATIENCE, generation.changed()).await.expect("there is a new hub").unwrap();
    let root = Root::Environment { paths: Vec::new() };
    let again = Launch { root, number: 1, ..shell("main", "exec sleep 600") };
    assert!(pod.sandbox.start(again).await.unwrap().is_running());
    let (_, _session) = pod.serve("serve(listen(('', 80)), 'again')").await;
    assert_eq!(net.hear("10.244.11.1:80").await, "again 10.244.0.1");
    net.end(&[&pod]).await;
}
