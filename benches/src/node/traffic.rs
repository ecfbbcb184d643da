//! The two ends of the traffic that is measured: this program itself, in pods and outside of them.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Parser;

/// Read or written at a time.
const CHUNK: usize = 256 << 10;
/// A server in a pod that is not reached by then never will be.
const PATIENCE: Duration = Duration::from_secs(10);

/// The ends of traffic, of use to the bench alone.
#[derive(Parser)]
pub enum End {
    /// Accepts one connection after the other, reads each to its end, and answers with a byte. Prints its address.
    Serve { address: String },
    /// Prints what a connect and a close cost in microseconds, or the Gbit/s of one stream.
    Dial {
        address: String,
        #[arg(long, required_unless_present = "bytes", conflicts_with = "bytes")]
        connects: Option<u32>,
        #[arg(long)]
        bytes: Option<u64>,
    },
}

impl End {
    /// Runs one of them.
    ///
    /// # Errors
    /// When the other end is not there.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Serve { address } => serve(address),
            Self::Dial { address, connects, bytes } => {
                // A Service's address leads somewhere once its pod is ready and the node has heard of it.
                let began = Instant::now();
                while let Err(error) = TcpStream::connect(address).and_then(ended) {
                    ensure!(began.elapsed() < PATIENCE, "{address}: {error}");
                    std::thread::sleep(Duration::from_millis(20));
                }
                println!(
                    "{}",
                    bytes.map_or_else(|| connect(address, connects.unwrap_or(1)), |bytes| send(address, bytes))?
                );
                Ok(())
            }
        }
    }
}

fn serve(address: &str) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).with_context(|| address.to_owned())?;
    println!("{}", listener.local_addr()?);
    let mut chunk = vec![0; CHUNK];
    for stream in listener.incoming() {
        let mut stream = stream?;
        // One that breaks is not the next one's fault.
        while stream.read(&mut chunk).is_ok_and(|read| read > 0) {}
        let _ = stream.write_all(b".");
    }
    Ok(())
}

/// Says that there is no more, and waits until the other end has read it all.
fn ended(mut stream: TcpStream) -> io::Result<TcpStream> {
    stream.shutdown(Shutdown::Write)?;
    stream.read_exact(&mut [0])?;
    // The other end closes first, so that ports of this one do not run out.
    while stream.read(&mut [0])? > 0 {}
    Ok(stream)
}

/// The median of a connect with its close; what the other end does meanwhile does not count.
fn connect(address: &str, count: u32) -> anyhow::Result<f64> {
    let mut costs = Vec::new();
    for _ in 0..count {
        let began = Instant::now();
        let stream = TcpStream::connect(address)?;
        let connected = began.elapsed();
        let stream = ended(stream)?;
        let closing = Instant::now();
        drop(stream);
        costs.push((connected + closing.elapsed()).as_secs_f64() * 1e6);
    }
    Ok(crate::report::median(&costs))
}

/// From the first byte that is sent until the other end says that it has them all.
fn send(address: &str, bytes: u64) -> anyhow::Result<f64> {
    let mut stream = TcpStream::connect(address)?;
    let chunk = vec![7; CHUNK];
    let chunks = u32::try_from(bytes / u64::try_from(CHUNK)?)?;
    let began = Instant::now();
    for _ in 0..chunks {
        stream.write_all(&chunk)?;
    }
    ended(stream)?;
    let bits = f64::from(chunks) * f64::from(u32::try_from(CHUNK)?) * 8.0;
    Ok(bits / 1e9 / began.elapsed().as_secs_f64())
}
