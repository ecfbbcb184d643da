//! One connection to the control plane, kept between requests.

use std::{
    io::{self, BufReader, BufWriter, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
    time::Duration,
};

use crate::{
    sys,
    wire::{Body, Chunks, Head},
};

/// How long a connection may take to come about; the control plane is near.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the other end may say or take nothing. It waits for at most 30 s for a place, and answers.
const SILENCE: Duration = Duration::from_secs(120);
/// Bytes that are moved at once.
pub const PIECE: usize = 128 * 1024;
/// A larger body is sent only after the other end has said that it wants it: it may have ended the attempt.
const UNASKED: u64 = 64 * 1024;

/// Where the control plane is, and what lets in.
pub struct Client {
    address: SocketAddr,
    /// What comes before `/launcher/v1/…`, without a slash at its end.
    base: String,
    token: String,
    connection: Option<BufReader<TcpStream>>,
}

/// What goes with a request. It is called again for each try.
pub enum Payload<'a> {
    Nothing,
    Bytes(&'static str, &'a [u8]),
    /// So many bytes of a file, or of what else can be read.
    Reader(u64, &'a mut dyn Read),
    /// A stream whose length is not known before.
    Stream(&'static str, &'a mut dyn FnMut(&mut dyn Write) -> io::Result<()>),
}

impl Payload<'_> {
    fn head(&self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Bytes(kind, bytes) => format!("content-type: {kind}\r\ncontent-length: {}\r\n", bytes.len()),
            Self::Reader(length, _) => {
                let expect = if *length > UNASKED { "expect: 100-continue\r\n" } else { "" };
                format!("content-type: application/octet-stream\r\ncontent-length: {length}\r\n{expect}")
            }
            Self::Stream(kind, _) => {
                format!("content-type: {kind}\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n")
            }
        }
    }

    fn must_ask(&self) -> bool {
        match self {
            Self::Nothing | Self::Bytes(..) => false,
            Self::Reader(length, _) => *length > UNASKED,
            Self::Stream(..) => true,
        }
    }
}

/// Why a request brought no answer.
#[derive(Debug)]
pub enum Lost {
    /// The control plane is away, or the connection broke.
    Connection(io::Error),
    /// What was to be sent could not be read.
    Own(io::Error),
}

impl Client {
    /// A client for `http://ADDRESS:PORT/BASE`.
    ///
    /// # Errors
    /// What is wrong with the URL.
    pub fn new(endpoint: &str, token: &str) -> Result<Self, String> {
        let rest =
            endpoint.strip_prefix("http://").ok_or_else(|| format!("\"{endpoint}\" does not begin with http://"))?;
        let (host, base) =
            rest.split_once('/').map_or((rest, String::new()), |(host, base)| (host, format!("/{base}")));
        let address = host.parse().or_else(|_| format!("{host}:80").parse());
        let address = address.map_err(|_| format!("\"{host}\" is no IP address and port; names are not looked up"))?;
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { address, base, token: token.to_owned(), connection: None })
    }

    /// Sends a request and hands the answer's head and body to `take`.
    ///
    /// # Errors
    /// [`Lost`]. Errors of `take` are its own.
    pub fn request<T>(
        &mut self,
        method: &str,
        path: &str,
        payload: &mut Payload<'_>,
        take: impl FnOnce(&Head, &mut dyn Read) -> T,
    ) -> Result<T, Lost> {
        let (mut connection, is_old) = match self.connection.take() {
            Some(connection) => (connection, true),
            None => (self.connect()?, false),
        };
        let text = format!(
            "{method} {}/launcher/v1/{path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{}\r\n",
            self.base,
            self.address,
            self.token,
            payload.head()
        );
        // A connection that was idle may have been closed by the other end. Nothing of the payload was read so far,
        // if what is small is sent with the head.
        if is_old && sys::poll(&[connection.get_ref().as_fd()], Some(Duration::ZERO))[0] {
            connection = self.connect()?;
        }
        let head = exchange(&mut connection, &text, payload)?;
        let mut body = Body::new(&mut connection, &head);
        let taken = take(&head, &mut body);
        if body.is_over() || read_rest(&mut body) {
            self.connection = (!head.closes).then_some(connection);
        }
        Ok(taken)
    }

    fn connect(&self) -> Result<BufReader<TcpStream>, Lost> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&self.address, CONNECT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(SILENCE))?;
            stream.set_write_timeout(Some(SILENCE))?;
            Ok(BufReader::with_capacity(PIECE, stream))
        };
        connect().map_err(Lost::Connection)
    }
}

/// Reads what is left of a body where that is next to nothing, such as the mark of its end.
fn read_rest(body: &mut Body<&mut BufReader<TcpStream>>) -> bool {
    let mut rest = [0; 64];
    matches!(body.read(&mut rest), Ok(0)) && body.is_over()
}

fn exchange(connection: &mut BufReader<TcpStream>, text: &str, payload: &mut Payload<'_>) -> Result<Head, Lost> {
    let stream = connection.get_ref().try_clone().map_err(Lost::Connection)?;
    let mut writer = Attentive { stream: &stream, has_answer: false };
    if payload.must_ask() {
        writer.stream.write_all(text.as_bytes()).map_err(Lost::Connection)?;
        let head = Head::read(connection).map_err(Lost::Connection)?;
        if head.status != 100 {
            // It does not want the body, and waits for none; but who knows what it takes the next bytes for.
            return Ok(Head { closes: true, ..head });
        }
        let sent = send(&mut writer, payload);
        if let Err(error) = sent
            && !writer.has_answer
        {
            return Err(error);
        }
    } else {
        let mut together = BufWriter::with_capacity(PIECE, &mut writer);
        let sent = together.write_all(text.as_bytes()).map_err(Lost::Connection);
        sent.and_then(|()| send(&mut together, payload))?;
        together.flush().map_err(Lost::Connection)?;
    }
    let mut head = Head::read(connection).map_err(Lost::Connection)?;
    while head.status == 100 {
        head = Head::read(connection).map_err(Lost::Connection)?;
    }
    let closes = head.closes || writer.has_answer;
    Ok(Head { closes, ..head })
}

fn send(writer: &mut dyn Write, payload: &mut Payload<'_>) -> Result<(), Lost> {
    match payload {
        Payload::Nothing => Ok(()),
        Payload::Bytes(_, bytes) => writer.write_all(bytes).map_err(Lost::Connection),
        Payload::Reader(length, reader) => {
            let mut piece = vec![0; PIECE];
            let mut left = *length;
            while left > 0 {
                let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let count = reader.read(&mut piece[..most]).map_err(Lost::Own)?;
                if count == 0 {
                    return Err(Lost::Own(io::Error::other("it became shorter while it was read")));
                }
                writer.write_all(&piece[..count]).map_err(Lost::Connection)?;
                left -= count as u64;
            }
            Ok(())
        }
        Payload::Stream(_, produce) => {
            let mut watch = Watch { writer, failed: None };
            let mut gathered = BufWriter::with_capacity(PIECE, Chunks(&mut watch));
            let produced = produce(&mut gathered);
            let finished = produced.and_then(|()| gathered.into_inner().map_err(|error| error.into_error())?.finish());
            match (finished, watch.failed) {
                (_, Some(error)) => Err(Lost::Connection(error)),
                (Err(error), None) => Err(Lost::Own(error)),
                (Ok(()), None) => Ok(()),
            }
        }
    }
}

/// Tells failures of the connection from those of whoever produces a stream.
struct Watch<'a> {
    writer: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl Write for Watch<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer
            .write(bytes)
            .inspect_err(|error| self.failed = Some(io::Error::new(error.kind(), error.to_string())))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Stops to write once the other end has answered: it will not read the rest.
struct Attentive<'a> {
    stream: &'a TcpStream,
    has_answer: bool,
}

impl Write for Attentive<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if sys::poll(&[self.stream.as_fd()], Some(Duration::ZERO))[0] {
            self.has_answer = true;
            return Err(io::Error::other("the control plane has answered before it had everything"));
        }
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_and_a_path() {
        for (endpoint, address, base) in [
            ("http://10.96.0.7:8888/pipeline", "10.96.0.7:8888", "/pipeline"),
            ("http://127.0.0.1:80/", "127.0.0.1:80", ""),
            ("http://10.0.0.1", "10.0.0.1:80", ""),
            ("http://[::1]:8888/a/b/", "[::1]:8888", "/a/b"),
        ] {
            let client = Client::new(endpoint, "t").unwrap();
            assert_eq!((client.address.to_string().as_str(), client.base.as_str()), (address, base));
        }
        for endpoint in ["", "https://10.0.0.1/", "http://ml-pipeline:8888", "10.0.0.1:80"] {
            assert!(Client::new(endpoint, "t").is_err(), "{endpoint}");
        }
    }
}
