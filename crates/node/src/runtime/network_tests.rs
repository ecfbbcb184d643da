//! Pods with addresses of their own: real processes whose calls the supervisor answers.
//!
//! Programs are in Python, because its sockets are those of the system, call by call.

use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    path::PathBuf,
};

use ferroflow_platform::{
    clock::SystemClock,
    kubelet::{ExecSession, ExitStatus},
    task::Group,
};
use tokio::io::AsyncReadExt;

use super::{
    process::ProcessRuntime,
    tests::{PATIENCE, record, shell, shim_command},
    *,
};
use crate::{
    core::network::{self, Protocol, Table, Target},
    shim::network::listeners::Listeners,
};

/// What the programs begin with.
const PRELUDE: &str = "
import errno, os, socket, sys, threading
def say(*words): print(*words, flush=True)
def listen(address, family=socket.AF_INET, backlog=16):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(address); s.listen(backlog)
    return s
def serve(s, name):
    say('ready')
    while True:
        c, _ = s.accept()
        c.sendall(name.encode() + b' ' + c.getpeername()[0].encode()); c.close()
def ask(address, family=socket.AF_INET):
    c = socket.socket(family)
    try: c.connect(address)
    except OSError as e: return errno.errorcode[e.errno]
    return c.makefile().read()
";

/// A node with a network, and nothing that writes its table but the test.
struct Net {
    directory: tempfile::TempDir,
    node: ProcessRuntime,
    table: Table,
}

impl Net {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Programs of this test that run at the same time must not share a block.
        let range = u32::from(*network::BLOCKS.end() - *network::BLOCKS.start());
        let block = network::BLOCKS.start() + u8::try_from(std::process::id() % range).unwrap();
        let pods = directory.path().join("pods");
        let node =
            ProcessRuntime::new(pods, Isolation::Bare, shim_command(), SystemClock::shared(), Group::new()).unwrap();
        let path = directory.path().join("table.json");
        let node = node.with_network(path, None);
        let first_port = if rustix::process::geteuid().is_root() { 0 } else { 1024 };
        let net = Self { directory, node, table: Table { version: 1, block, first_port, ..Table::default() } };
        net.write();
        net
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("table.json")
    }

    fn write(&self) {
        let temporary = self.path().with_extension("new");
        std::fs::write(&temporary, serde_json::to_vec(&self.table).unwrap()).unwrap();
        std::fs::rename(temporary, self.path()).unwrap();
    }

    /// Makes the service lead to these backends.
    fn service(&mut self, at: &str, protocol: Protocol, backends: &[&str]) {
        let backends = backends.iter().map(|text| text.parse::<SocketAddrV4>().unwrap());
        let backends = backends.map(|backend| (*backend.ip(), backend.port())).collect();
        let key = network::key(at.parse().unwrap(), protocol);
        self.table.services.insert(key, Target { backends, affinity_s: None });
        self.write();
    }

    /// Lets clients of a service stay with their endpoint for so many seconds.
    fn service_stays(&mut self, at: &str, protocol: Protocol, seconds: u32) {
        let key = network::key(at.parse().unwrap(), protocol);
        self.table.services.get_mut(&key).unwrap().affinity_s = Some(seconds);
        self.write();
    }

    /// A pod with this address that does nothing.
    async fn pod(&self, address: &str) -> Pod {
        let (sender, events) = mpsc::channel(16);
        let record = PodRecord { address: address.to_owned(), ..record(&format!("uid-{address}")) };
        let sandbox = self.node.open(record, sender).await.unwrap();
        sandbox.start(shell("main", "exec sleep 600")).await.unwrap();
        Pod { sandbox, events }
    }

    /// Ends pods, and all that runs in them.
    async fn end(&self, pods: &[&Pod]) {
        for pod in pods {
            pod.sandbox.destroy().await.unwrap();
        }
    }

    /// A connection of the host to a port of a pod.
    fn dial(&self, shown: &str) -> TcpStream {
        let to = network::host_socket(&self.table, shown.parse().unwrap());
        TcpStream::connect(Listeners::default().locate(Protocol::Tcp, to).unwrap()).unwrap()
    }
}

pub(super) struct Pod {
    pub(super) sandbox: Arc<dyn Sandbox>,
    pub(super) events: mpsc::Receiver<Event>,
}

impl Pod {
    pub(super) async fn begin(&self, script: &str) -> ExecSession {
        let command = vec!["/usr/bin/python3".to_owned(), "-c".to_owned(), format!("{PRELUDE}{script}")];
        let options = ExecOptions { command, stdin: true, stdout: true, stderr: true, tty: false };
        self.sandbox.exec("main".to_owned(), options).await.unwrap()
    }

    /// Runs a program to its end and gives what it says.
    pub(super) async fn run(&self, script: &str) -> String {
        let mut session = self.begin(script).await;
        let (mut out, mut err) = (String::new(), String::new());
        let (mut stdout, mut stderr) = (session.stdout.take().unwrap(), session.stderr.take().unwrap());
        let all = async { tokio::join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err)) };
        let (read, failed) = tokio::time::timeout(PATIENCE, all).await.expect("the program ends");
        read.unwrap();
        failed.unwrap();
        assert_eq!((err.as_str(), session.exit.await), ("", ExitStatus::Code(0)), "{script}\n{out}");
        out.trim_end().to_owned()
    }

    /// Starts a program and waits until it has said its first line.
    pub(super) async fn serve(&self, script: &str) -> (String, ExecSession) {
        let mut session = self.begin(script).await;
        let line = line(&mut session).await;
        (line, session)
    }
}

/// The next line that a program says.
pub(super) async fn line(session: &mut ExecSession) -> String {
    let stdout = session.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    let read = async {
        while line.last() != Some(&b'\n') {
            match stdout.read_u8().await {
                Ok(byte) => line.push(byte),
                Err(_) => break,
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("the program says something");
    if line.is_empty() {
        let mut error = String::new();
        session.stderr.as_mut().unwrap().read_to_string(&mut error).await.unwrap();
        panic!("the program has ended: {error}");
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

#[tokio::test]
async fn two_pods_serve_on_one_port_and_a_service_leads_to_both() {
    let mut net = Net::new();
    let (one, two) = (net.pod("10.244.1.1").await, net.pod("10.244.1.2").await);
    let script = "serve(listen(('0.0.0.0', 8080)), os.environ.get('N', sys.argv[0]))";
    let (_, _first) = one.serve(&script.replace("os.environ.get('N', sys.argv[0])", "'one'")).await;
    let (_, _second) = two.serve(&script.replace("os.environ.get('N', sys.argv[0])", "'two'")).await;

    let ask = "for to in [('127.0.0.1', 8080), ('10.244.1.1', 8080), ('10.244.1.2', 8080)]: say(ask(to))";
    assert_eq!(one.run(ask).await, "one 10.244.1.1\none 10.244.1.1\ntwo 10.244.1.1");

    net.service("10.96.0.20:80", Protocol::Tcp, &["10.244.1.1:8080", "10.244.1.2:8080"]);
    let many = "say(sorted(ask(('10.96.0.20', 80)).split()[0] for _ in range(4)))";
    assert_eq!(two.run(many).await, "['one', 'one', 'two', 'two']");

    net.service("10.96.0.20:80", Protocol::Tcp, &[]);
    assert_eq!(two.run("say(ask(('10.96.0.20', 80)), ask(('10.96.0.99', 80)))").await, "ECONNREFUSED EHOSTUNREACH");

    let mut stream = net.dial("10.244.1.2:8080");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stream, &mut said).unwrap();
    assert_eq!(said, "two 127.0.0.1");
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn a_pod_stays_with_its_endpoint_where_the_service_wants_it() {
    let mut net = Net::new();
    let (one, two) = (net.pod("10.244.12.1").await, net.pod("10.244.12.2").await);
    let serve = |name: &str| {
        format!(
            "
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('', 5353))
def datagrams():
    while True: _, peer = u.recvfrom(9); u.sendto(b'{name}', peer)
threading.Thread(target=datagrams, daemon=True).start()
serve(listen(('', 8080)), '{name}')"
        )
    };
    let (_, _first) = one.serve(&serve("one")).await;
    let (_, _second) = two.serve(&serve("two")).await;
    let both = ["10.244.12.1:8080", "10.244.12.2:8080"];
    let at = "10.96.0.25:80";
    let ask = "print(*sorted(set(ask(('10.96.0.25', 80)).split()[0] for _ in range(6))))";
    let affine = |net: &mut Net, backends: &[&str], seconds| {
        net.service(at, Protocol::Tcp, backends);
        net.service_stays(at, Protocol::Tcp, seconds);
    };
    affine(&mut net, &both, 10_800);
    let stays = two.run(ask).await;
    assert!(stays == "one" || stays == "two", "{stays}");
    // Its endpoint goes, and comes back.
    let other = if stays == "one" { "two" } else { "one" };
    affine(&mut net, &both[usize::from(other == "two")..][..1], 10_800);
    assert_eq!(two.run(ask).await, other);
    affine(&mut net, &both, 10_800);
    assert_eq!(two.run(ask).await, other);
    // A time that is over at once.
    affine(&mut net, &both, 0);
    assert_eq!(two.run(ask).await, "one two");
    // Datagrams, of sockets that connect and of those that do not.
    net.service(at, Protocol::Udp, &["10.244.12.1:5353", "10.244.12.2:5353"]);
    net.service_stays(at, Protocol::Udp, 10_800);
    let datagrams = "
said = set()
for n in range(6):
    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
    if n % 2: u.connect(('10.96.0.25', 80)); u.send(b'x')
    else: u.sendto(b'x', ('10.96.0.25', 80))
    said.add(u.recv(9).decode())
print(*sorted(said))";
    let stays = two.run(datagrams).await;
    assert!(stays == "one" || stays == "two", "{stays}");
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn sockets_show_addresses_of_the_cluster() {
    let mut net = Net::new();
    let (one, two) = (net.pod("10.244.2.1").await, net.pod("10.244.2.2").await);
    net.service("10.96.0.21:80", Protocol::Tcp, &["10.244.2.1:8080"]);
    let server = "
s = listen(('', 8080)); say(s.getsockname())
c, _ = s.accept(); say(c.getsockname(), c.getpeername()[0])
c, _ = s.accept(); say(c.getsockname(), c.getpeername()[0])";
    let (name, mut session) = one.serve(server).await;
    assert_eq!(name, "('0.0.0.0', 8080)");
    let client = "
c = socket.create_connection(('10.96.0.21', 80)); say(c.getsockname()[0], c.getpeername())
d = socket.create_connection(('10.244.2.1', 8080)); say(d.getsockname()[0], d.getpeername())";
    assert_eq!(two.run(client).await, "10.244.2.2 ('10.96.0.21', 80)\n10.244.2.2 ('10.244.2.1', 8080)");
    for _ in 0..2 {
        assert_eq!(line(&mut session).await, "('10.244.2.1', 8080) 10.244.2.2");
    }
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn every_way_to_listen_is_the_pods_own() {
    let net = Net::new();
    let pod = net.pod("10.244.3.1").await;
    let script = "
def there(s): return ask(('10.244.3.1', s.getsockname()[1]))
def answer(s): threading.Thread(target=lambda: s.accept()[0].close(), daemon=True).start(); return s
a = answer(listen(('127.0.0.1', 0))); say(a.getsockname()[0], there(a) == '')
b = answer(listen(('0.0.0.0', 0))); say(b.getsockname()[0], b.getsockname()[1] > 0, there(b) == '')
c = socket.socket(); c.listen(); answer(c); say(c.getsockname()[0], there(c) == '')
d = answer(listen(('::', 0), socket.AF_INET6)); say(d.getsockname()[0], there(d) == '')
e = answer(listen(('::1', 9001), socket.AF_INET6)); say(e.getsockname()[:2], ask(('::1', 9001), socket.AF_INET6) == '')
f = socket.socket(socket.AF_INET6); f.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
f.bind(('::', 8000)); f.listen(); say(f.getsockname()[:2])
g = answer(listen(('', 8000))); say(there(g) == '')
h = answer(listen(('', 85))); say(h.getsockname(), ask(('127.0.0.1', 85)) == '')
for to in [('10.244.3.2', 8080), ('192.0.2.1', 0)]:
    try: listen(to)
    except OSError as e: say(errno.errorcode[e.errno])
try: listen(('0.0.0.0', 8000))
except OSError as e: say(errno.errorcode[e.errno])
u = socket.socket(socket.AF_UNIX); u.bind('\\0ferroflow-' + str(os.getpid())); u.listen(); say(len(u.getsockname()) > 0)
n = socket.socket(); say(n.getsockname())
try: n.getpeername()
except OSError as e: say(errno.errorcode[e.errno])
";
    let expected = "10.244.3.1 True
0.0.0.0 True True
0.0.0.0 True
:: True
('::ffff:10.244.3.1', 9001) True
('::', 8000)
True
('0.0.0.0', 85) True
EADDRNOTAVAIL
EADDRNOTAVAIL
EADDRINUSE
True
('0.0.0.0', 0)
ENOTCONN";
    assert_eq!(pod.run(script).await, expected);
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn a_pod_does_not_reach_what_listens_on_the_hosts_loopback() {
    let net = Net::new();
    let pod = net.pod("10.244.4.1").await;
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let datagrams = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let ports: Vec<u16> = [&host, &everywhere].iter().map(|one| one.local_addr().unwrap().port()).collect();
    let script = format!(
        "
for port in {ports:?}:
    say(*[ask((ip, port)) for ip in ['127.0.0.1', '127.0.0.2', '0.0.0.0', '10.200.0.1']])
    say(ask(('::1', port), socket.AF_INET6), ask(('10.244.4.9', port)))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.sendto(b'x', ('127.0.0.1', {}))
",
        datagrams.local_addr().unwrap().port()
    );
    let refused = "ECONNREFUSED ECONNREFUSED";
    let expected = format!("{refused} {refused}\n{refused}");
    assert_eq!(pod.run(&script).await, format!("{expected}\n{expected}"));
    host.set_nonblocking(true).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    assert!(host.accept().is_err() && datagrams.recv(&mut [0; 8]).is_err());
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn a_pod_of_the_hosts_network_reaches_the_host_and_services() {
    let mut net = Net::new();
    let (pod, other) = (net.pod("10.200.0.1").await, net.pod("10.244.5.1").await);
    net.service("10.96.0.22:80", Protocol::Tcp, &["10.244.5.1:8080"]);
    let (_, _session) = other.serve("serve(listen(('0.0.0.0', 8080)), 'other')").await;
    let host = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = host.local_addr().unwrap().port();
    let script = format!(
        "say(ask(('10.96.0.22', 80)))
c = socket.create_connection(('127.0.0.1', {port})); say(c.getpeername()[0])
s = listen(('127.0.0.1', 0)); say(s.getsockname()[1])
s.accept()"
    );
    let (said, mut session) = pod.serve(&script).await;
    assert_eq!(said, "other 10.200.0.1");
    assert_eq!(line(&mut session).await, "127.0.0.1");
    let port: u16 = line(&mut session).await.parse().unwrap();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap().write_all(b"x").unwrap();
    assert_eq!(session.exit.await, ExitStatus::Code(0));
    net.end(&[&pod, &other]).await;
}

#[tokio::test]
async fn datagrams_go_both_ways() {
    let mut net = Net::new();
    let (one, two) = (net.pod("10.244.6.1").await, net.pod("10.244.6.2").await);
    net.service("10.96.0.23:53", Protocol::Udp, &["10.244.6.1:5353"]);
    let server = "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 5353)); say(s.getsockname())
while True:
    data, peer = s.recvfrom(100000); s.sendto(data.upper(), peer); say(len(data))";
    let (name, _session) = one.serve(server).await;
    assert_eq!(name, "('0.0.0.0', 5353)");
    let client = "
def udp(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(10); return s
a = udp(); a.connect(('10.96.0.23', 53)); a.send(b'connected'); say(a.recv(99), a.getsockname()[0], a.getpeername())
b = udp(); b.sendto(b'unbound', ('10.96.0.23', 53)); say(b.recv(99), b.getsockname()[0])
c = udp(); c.bind(('', 0)); c.sendto(b'bound', ('10.244.6.1', 5353)); say(c.recv(99), c.getsockname()[0])
d = udp(socket.AF_INET6); d.bind(('::', 0)); d.sendto(b'six', ('::ffff:10.244.6.1', 5353)); say(d.recv(99))
e = udp(); say(e.sendto(b'x' * 60000, ('10.244.6.1', 5353)), len(e.recv(100000)))
f = udp(); f.connect(('10.244.6.1', 5353)); f.connect(('10.96.0.23', 53)); f.send(b'again'); say(f.recv(99))
for size, to in [(70000, ('10.244.6.1', 5353)), (1, ('10.96.0.23', 54)), (1, ('10.96.9.9', 53))]:
    try: udp().sendto(b'x' * size, to)
    except OSError as e: say(errno.errorcode[e.errno])";
    let expected = "b'CONNECTED' 10.244.6.2 ('10.96.0.23', 53)
b'UNBOUND' 10.244.6.2
b'BOUND' 0.0.0.0
b'SIX'
60000 60000
b'AGAIN'
EMSGSIZE
ECONNREFUSED
EHOSTUNREACH";
    assert_eq!(two.run(client).await, expected);
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn messages_with_an_address_go_both_ways() {
    let mut net = Net::new();
    let (one, two) = (net.pod("10.244.13.1").await, net.pod("10.244.13.2").await);
    net.service("10.96.0.26:53", Protocol::Udp, &["10.244.13.1:5353"]);
    let server = "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('0.0.0.0', 5353)); say(s.getsockname())
while True:
    data, _, _, peer = s.recvmsg(100000); s.sendmsg([data.upper(), b'!'], [], 0, peer)";
    let (_, _session) = one.serve(server).await;
    let client = "
import array, ctypes, struct
service, pod = ('10.96.0.26', 53), ('10.244.13.1', 5353)
def udp(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(10); return s
a = udp(); say(a.sendmsg([b'two', b' parts'], [], 0, service), a.recv(99), a.getsockname()[0])
b = udp(); b.bind(('', 0)); b.sendmsg([b'bound'], [], 0, pod); say(b.recv(99))
c = udp(socket.AF_INET6); c.bind(('::', 0)); c.sendmsg([b'six'], [], 0, ('::ffff:10.244.13.1', 5353)); say(c.recv(99))
def info(ip): return [(socket.IPPROTO_IP, 8, struct.pack('i4s4x', 0, socket.inet_aton(ip)))]
d = udp(); d.bind(('', 0)); d.sendmsg([b'info'], info('10.244.13.2'), 0, pod); say(d.recv(99))
d.sendmsg([b'ttl'], [(socket.IPPROTO_IP, socket.IP_TTL, struct.pack('i', 9))], 0, pod); say(d.recv(99))
e = udp(); e.connect(pod); e.sendmsg([b'connected']); say(e.recv(99))
for parts, more, to in [([b'x' * 40000] * 2, [], pod), ([b'x'], info('10.244.13.9'), pod), ([b'x'], [], ('10.96.0.26', 54)),
                        ([b'x'], [], ('10.96.9.9', 53)), ([b'x'], [(1, 99, b'x' * 4)], pod)]:
    try: udp().sendmsg(parts, more, 0, to)
    except OSError as error: say(errno.errorcode[error.errno])
# Several at once: to the cluster, and where the socket is connected to.
class Part(ctypes.Structure): _fields_ = [('base', ctypes.c_char_p), ('length', ctypes.c_size_t)]
class Message(ctypes.Structure):
    _fields_ = [('name', ctypes.c_void_p), ('namelen', ctypes.c_uint), ('parts', ctypes.c_void_p), ('count', ctypes.c_size_t),
                ('control', ctypes.c_void_p), ('controllen', ctypes.c_size_t), ('flags', ctypes.c_int), ('room', ctypes.c_int),
                ('sent', ctypes.c_uint), ('more', ctypes.c_int)]
libc = ctypes.CDLL(None, use_errno=True)
def many(s, texts, to):
    name = struct.pack('=H', 2) + struct.pack('>H', to[1]) + socket.inet_aton(to[0]) + bytes(8)
    held = ctypes.create_string_buffer(name, 16)
    parts = (Part * len(texts))(*[Part(text, len(text)) for text in texts])
    rows = (Message * len(texts))()
    for n, row in enumerate(rows):
        row.name, row.namelen = ctypes.addressof(held), 16
        row.parts, row.count = ctypes.addressof(parts) + n * ctypes.sizeof(Part), 1
    done = libc.sendmmsg(s.fileno(), rows, len(texts), 0)
    return done, [row.sent for row in rows][:done]
f = udp(); say(many(f, [b'first', b'second'], service), f.recv(99), f.recv(99))
say(many(udp(), [b'x'] * 20, pod)[0])
# What names no address of the cluster goes on as if nobody looked.
x, y = socket.socketpair(); r, w = os.pipe()
x.sendmsg([b'fd'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [w]))])
data, more, _, _ = y.recvmsg(9, 99); os.write(array.array('i', more[0][2][:4])[0], b'through'); say(data, os.read(r, 9))
t = listen(('', 0)); u = socket.create_connection(('127.0.0.1', t.getsockname()[1])); v, _ = t.accept()
say(u.sendmsg([b'a' * 9, b'b']), v.recv(99))";
    let expected = "9 b'TWO PARTS!' 10.244.13.2
b'BOUND!'
b'SIX!'
b'INFO!'
b'TTL!'
b'CONNECTED!'
EMSGSIZE
EINVAL
ECONNREFUSED
EHOSTUNREACH
EINVAL
(2, [5, 6]) b'FIRST!' b'SECOND!'
16
b'fd' b'through'
10 b'aaaaaaaaab'";
    assert_eq!(two.run(client).await, expected);
    net.end(&[&one, &two]).await;
}

#[tokio::test]
async fn a_socket_that_does_not_wait_is_told_so_and_many_connections_are_made() {
    let net = Net::new();
    let (one, two) = (net.pod("10.244.7.1").await, net.pod("10.244.7.2").await);
    let (_, _session) = one.serve("serve(listen(('', 8080), backlog=128), 'one')").await;
    let script = "
import select
c = socket.socket(); c.setblocking(False); code = c.connect_ex(('10.244.7.1', 8080))
say(code in (0, errno.EINPROGRESS), select.select([], [c], [], 10)[1] == [c], c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
d = socket.socket(); d.setblocking(False); d.connect_ex(('10.244.7.1', 1)); select.select([], [d], [], 10)
say(errno.errorcode[d.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or d.connect_ex(('10.244.7.1', 1))])
t = socket.socket(); t.settimeout(5); t.connect(('10.244.7.1', 8080)); say(t.getpeername())
say(set(ask(('10.244.7.1', 8080)) for _ in range(1000)))
os.environ.clear(); say(os.spawnv(os.P_WAIT, '/bin/sh', ['sh', '-c', 'exit 0']))";
    let expected = "True True 0\nECONNREFUSED\n('10.244.7.1', 8080)\n{'one 10.244.7.2'}\n0";
    assert_eq!(two.run(script).await, expected);
    net.end(&[&one, &two]).await;
}

/// Fills the queue of a listener that takes nothing: the next connection does not come to stand.
const FULL: &str = "
s = socket.socket(); s.bind(('', 8080)); s.listen(0)
held = []
while True:
    c = socket.socket(); c.setblocking(False); c.connect_ex(('127.0.0.1', 8080)); held.append(c)
    import select
    if not select.select([], [c], [], 0.5)[1]: break
";

#[tokio::test]
async fn a_connection_that_does_not_come_to_stand_holds_up_nobody_else() {
    let net = Net::new();
    let pod = net.pod("10.244.8.1").await;
    let script = format!(
        "{FULL}
def wait():
    c = socket.socket(); c.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, b'\\1' + b'\\0' * 15)
    try: c.connect(('127.0.0.1', 8080))
    except OSError as e: say(errno.errorcode[e.errno])
def stuck():
    c = socket.socket(); say('waits'); c.connect(('127.0.0.1', 8080)); say('stands')
threading.Thread(target=stuck).start()
sys.stdin.readline()
say(ask(('127.0.0.1', 1)))
wait()
sys.stdin.readline()
while True: s.accept()
"
    );
    let (said, mut session) = pod.serve(&script).await;
    assert_eq!(said, "waits");
    // The supervisor is there for others while the thread waits.
    assert_eq!(pod.run("say(ask(('127.0.0.1', 1)))").await, "ECONNREFUSED");
    let mut stdin = session.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"go\n").await.unwrap();
    assert_eq!(line(&mut session).await, "ECONNREFUSED");
    assert_eq!(line(&mut session).await, "EINPROGRESS");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"go\n").await.unwrap();
    assert_eq!(line(&mut session).await, "stands");
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn a_program_that_is_killed_or_interrupted_while_it_waits_leaves_nothing_behind() {
    let net = Net::new();
    let pod = net.pod("10.244.9.1").await;
    let script = format!(
        "{FULL}
import signal
# An alarm that comes before what it is to interrupt is followed by another.
alarms = []
signal.signal(signal.SIGALRM, lambda *_: alarms.append(1))
r, w = os.pipe()
child = os.fork()
if child == 0:
    say('waits'); os.write(w, b'x'); socket.socket().connect(('127.0.0.1', 8080)); os._exit(0)
say('parent'); os.read(r, 1)
signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
while not alarms: signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0); say('alarm')
os.kill(child, signal.SIGKILL); say(os.waitpid(child, 0)[1])
class Enough(Exception): pass
told = []
def enough(*_):
    if not told: told.append(1); raise Enough
signal.signal(signal.SIGALRM, enough)
try:
    c = socket.socket(); signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1); c.connect(('127.0.0.1', 8080))
except Enough: say('interrupted')
signal.signal(signal.SIGALRM, lambda *_: None); signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
good = 0
for _ in range(300):
    x = listen(('', 0)); y = socket.socket(); y.connect(x.getsockname()); good += 1; x.close(); y.close()
signal.setitimer(signal.ITIMER_REAL, 0); say(good)
"
    );
    let said = pod.run(&script).await;
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["300", "9", "alarm", "interrupted", "parent", "waits"]);
    assert_eq!(pod.run("say(ask(('127.0.0.1', 1)))").await, "ECONNREFUSED");
    net.end(&[&pod]).await;
}

#[tokio::test]
async fn a_pod_serves_on_a_port_that_a_program_of_the_host_has_at_all_addresses() {
    let net = Net::new();
    let (one, two) = (net.pod("10.244.10.1").await, net.pod("10.244.10.2").await);
    let host = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let datagrams = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let (port, other) = (host.local_addr().unwrap().port(), datagrams.local_addr().unwrap().port());
    let server = format!(
        "
s = listen(('0.0.0.0', {port})); say(s.getsockname())
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(('0.0.0.0', {other}))
c, _ = s.accept(); say(c.getsockname()[1]); c.sendall(b'pod'); c.close()
data, peer = u.recvfrom(9); u.sendto(data.upper(), peer)"
    );
    let (name, mut session) = one.serve(&server).await;
    assert_eq!(name, format!("('0.0.0.0', {port})"));
    let client = format!(
        "say(ask(('10.244.10.1', {port})))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(10)
u.connect(('10.244.10.1', {other})); u.send(b'pod'); say(u.recv(9), u.getpeername()[1] == {other})"
    );
    assert_eq!(two.run(&client).await, "pod\nb'POD' True");
    assert_eq!(line(&mut session).await, port.to_string());
    net.end(&[&one, &two]).await;
}

#[test]
fn a_trial_says_whether_pods_can_have_addresses() {
    let shim = shim_command();
    crate::shim::network::trial(&shim.program, &shim.arguments).unwrap();
    let wrong = crate::shim::network::trial(std::path::Path::new("/bin/false"), &[]).unwrap_err();
    assert!(wrong.contains("the trial ended with"), "{wrong}");
}

#[tokio::test]
async fn a_program_finds_interfaces_with_the_address_of_its_pod() {
    let net = Net::new();
    let pod = net.pod("10.244.7.9").await;
    let script = "
import fcntl, struct
print([name for _, name in socket.if_nameindex() ])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
about = fcntl.ioctl(s, 0x8915, struct.pack('16s24x', b'eth0'))
print(socket.inet_ntoa(about[20:24]))
buffer = bytearray(400)
place = (ctypes.c_char * 400).from_buffer(buffer)
length, _ = struct.unpack('iL', fcntl.ioctl(s, 0x8912, struct.pack('iL', 400, ctypes.addressof(place))))
print(length, [(buffer[i:i+4].decode(), socket.inet_ntoa(bytes(buffer[i+20:i+24]))) for i in (40, 80)])
";
    let seen = pod.run(&format!("import ctypes\n{script}")).await;
    assert_eq!(seen, "['lo', 'eth0', 'pod0']\n10.244.7.9\n120 [('eth0', '10.244.7.9'), ('pod0', '10.244.7.9')]");
    pod.sandbox.destroy().await.unwrap();
}

#[tokio::test]
async fn a_program_finds_its_address_by_a_datagram_socket_that_it_connects_to_anywhere() {
    let mut net = Net::new();
    net.service("10.96.4.4:80", Protocol::Tcp, &["10.244.7.11:80"]);
    let pod = net.pod("10.244.7.10").await;
    let script = "
for to in ('10.96.4.4', '10.244.7.12', '192.0.2.77'):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try: s.connect((to, 80)); print(s.getsockname()[0])
    except OSError as e: print(errno.errorcode[e.errno])
";
    let seen = pod.run(script).await;
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[..2], ["10.244.7.10", "10.244.7.10"]);
    // A host without a way out says so.
    assert!(["10.244.7.10", "ENETUNREACH"].contains(&lines[2]), "{seen}");
    pod.sandbox.destroy().await.unwrap();
}
