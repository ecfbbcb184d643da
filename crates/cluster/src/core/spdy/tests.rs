use super::*;

/// Two streams' beginnings as Go's client sends them, compressed with the dictionary.
const OF_GO: &str = "800300010000003d0000000100000000000078f9e3c6a7c202253a703a2b294a4dcc851625aca9a0808614cb45a024cc6461\
                     c0c0c0c0590489c44c50e2663400000000ffff800300010000001800000003000000000000c2aa15540a2512d20900\
                     0000ffff";

fn opened(stream: u32, block: &[u8]) -> Vec<u8> {
    let mut body = stream.to_be_bytes().to_vec();
    body.extend([0, 0, 0, 0, 0, 0]);
    body.extend_from_slice(block);
    control(SYN_STREAM, &body)
}

/// A frame that opens a stream, as a client sends it.
pub(crate) fn open(begun: &mut bool, stream: u32, headers: &[(&str, &str)]) -> Vec<u8> {
    opened(stream, &block(begun, &pairs(headers)))
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = u32::try_from(pairs.len()).unwrap().to_be_bytes().to_vec();
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

fn read(decoder: &mut Decoder) -> Frame {
    decoder.next_frame().unwrap().unwrap()
}

#[test]
fn a_stream_opens_with_headers_that_build_on_those_before() {
    let mut decoder = Decoder::default();
    let mut begun = false;
    for stream in [1, 3, 5] {
        let port = stream.to_string();
        let headers = [("streamtype", "error"), ("port", &port)];
        decoder.push(&opened(stream, &block(&mut begun, &pairs(&headers))));
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(read(&mut decoder), Frame::Open { stream, last: false, headers });
    }
    assert_eq!(decoder.next_frame(), Ok(None));
}

#[test]
fn headers_of_gos_compressor_are_read() {
    let bytes: Vec<u8> =
        (0..OF_GO.len()).step_by(2).map(|at| u8::from_str_radix(&OF_GO[at..at + 2], 16).unwrap()).collect();
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    for (stream, kind) in [(1, "error"), (3, "data")] {
        let Frame::Open { stream: found, mut headers, .. } = read(&mut decoder) else { panic!("no stream opens") };
        headers.sort();
        let expected = [("port", "80"), ("requestid", "0"), ("streamtype", kind)];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(found, stream);
    }
}

#[test]
fn frames_are_read_as_they_come() {
    let bytes = [data(1, b"hello", false), pong(7), refuse(3), data(1, b"", true), control(9, &[0; 8])].concat();
    let expected = [
        Frame::Data { stream: 1, last: false, bytes: b"hello".to_vec() },
        Frame::Ping { id: 7 },
        Frame::Reset { stream: 3 },
        Frame::Data { stream: 1, last: true, bytes: Vec::new() },
        Frame::Other,
    ];
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for byte in bytes {
        decoder.push(&[byte]);
        found.extend(decoder.next_frame().unwrap());
    }
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_frame_is_refused() {
    let fault = |bytes: &[u8]| {
        let mut decoder = Decoder::default();
        decoder.push(bytes);
        decoder.next_frame().unwrap_err()
    };
    assert_eq!(fault(&[0, 0, 0, 1, 0, 0xff, 0xff, 0xff]), Fault::TooLong(0xff_ffff));
    assert_eq!(fault(&control(SYN_STREAM, &[0; 9])), Fault::TooShort);
    assert_eq!(fault(&control(PING, &[0; 3])), Fault::TooShort);
    assert_eq!(fault(&opened(1, &[0x78, 0x01, 0xff, 0xff, 0xff])), Fault::Headers);
    assert_eq!(fault(&opened(1, &block(&mut false, &[0, 0, 1, 0]))), Fault::Headers);
    assert_eq!(fault(&opened(1, &block(&mut false, &[0, 0, 0, 1, 0xff, 0, 0, 0]))), Fault::Headers);
    assert_eq!(fault(&opened(1, &block(&mut false, &vec![0; 70 << 10]))), Fault::Headers);
}

#[test]
fn a_stream_is_answered_in_a_block_that_anyone_can_read() {
    let mut encoder = Encoder::default();
    let first = encoder.reply(1);
    // Version and type, no flags, 4 bytes of the stream, and 2 + 5 + 4 + 5 of the block.
    assert_eq!(first[..12], [0x80, 3, 0, 2, 0, 0, 0, 20, 0, 0, 0, 1]);
    assert_eq!(Inflate::new().block(&first[12..]), Some(vec![0; 4]));
    assert_eq!(encoder.reply(3).len(), first.len() - 2);
}
