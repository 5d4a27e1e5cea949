use proptest::prelude::*;

use super::*;

fn decode(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Result<Vec<Frame>, Malformed> {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in bytes.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        while let Some(frame) = decoder.decode(&mut buffer)? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Pieces of one data frame as the frame they are of.
fn join(frames: Vec<Frame>) -> Vec<Frame> {
    let mut joined: Vec<Frame> = Vec::new();
    for frame in frames {
        match (joined.last_mut(), frame) {
            (
                Some(Frame::Data {
                    id: last,
                    fin: false,
                    data: sofar,
                }),
                Frame::Data { id, fin, data },
            ) if *last == id => {
                let data = [&sofar[..], &data].concat().into();
                joined.pop();
                joined.push(Frame::Data { id, fin, data });
            }
            (_, frame) => joined.push(frame),
        }
    }
    joined
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex"))
        .collect()
}

/// What `moby/spdystream` 0.5.1 writes as a client.
const CLIENT: [&str; 9] = [
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a6800000000ffff",
    "800300010000001700000003000000000000c22e555c92929907000000ffff",
    "800300010000001900000005000000000000c22ac5565c92925f5a02000000ffff",
    "80030001010000220000000700000000000002e5370c3950e1940829e78bc059cac2c0c200000000ffff",
    "000000030000000568656c6c6f",
    "0000000301000000",
    "800300060000000400000001",
    "80030003000000080000000500000005",
    "80030007000000080000000000000000",
];

#[test]
fn a_real_client_is_understood() {
    let open = |id, fin, headers: &[(&str, &str)]| Frame::SynStream {
        id,
        fin,
        headers: Headers::from_iter(headers.iter().copied()),
    };
    let mut frames = decode(&mut Decoder::default(), &hex(&CLIENT.concat()), 7).expect("frames");
    let Frame::SynStream { headers, .. } = frames.remove(3) else {
        panic!("{frames:?}");
    };
    assert_eq!(
        (headers.get("streamtype"), headers.get("port")),
        (Some("data"), Some("8080"))
    );
    let expected = [
        open(1, false, &[("streamtype", "error")]),
        open(3, false, &[("streamtype", "stdin")]),
        open(5, false, &[("streamtype", "stdout")]),
        // The end comes in a frame of its own.
        Frame::Data {
            id: 3,
            fin: true,
            data: Bytes::from_static(b"hello"),
        },
        Frame::Ping(1),
        Frame::RstStream {
            id: 5,
            status: Status::CANCEL,
        },
        Frame::GoAway { last_id: 0, status: 0 },
    ];
    assert_eq!(join(frames), expected);
}

fn headers() -> impl Strategy<Value = Headers> {
    proptest::collection::btree_map("[a-z-]{1,20}", ".{0,50}", 0..5).prop_map(Headers::from_iter)
}

fn frame() -> impl Strategy<Value = Frame> {
    let id = 1..CONTROL;
    prop_oneof![
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynStream { id, fin, headers }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::SynReply { id, fin, headers }),
        (id.clone(), any::<bool>(), headers()).prop_map(|(id, fin, headers)| Frame::Headers { id, fin, headers }),
        (id.clone(), any::<u32>()).prop_map(|(id, status)| Frame::RstStream {
            id,
            status: Status(status)
        }),
        any::<u32>().prop_map(Frame::Ping),
        (0..CONTROL, any::<u32>()).prop_map(|(last_id, status)| Frame::GoAway { last_id, status }),
        (id, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..2_000)).prop_map(|(id, fin, data)| Frame::Data {
            id,
            fin,
            data: data.into()
        }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(frames in proptest::collection::vec(frame(), 0..12), step in 1usize..4_000) {
        let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
        for frame in &frames {
            encoder.encode(frame, &mut bytes).expect("fits");
        }
        let read = decode(&mut Decoder::default(), &bytes, step).expect("frames");
        prop_assert_eq!(join(read), join(frames));
    }

    #[test]
    fn nonsense_is_refused_or_understood(bytes: Vec<u8>, step in 1usize..100) {
        let _ = decode(&mut Decoder::default(), &bytes, step);
    }

    #[test]
    fn frames_that_were_changed_are_refused_or_understood(
        frames in proptest::collection::vec(frame(), 1..6),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (mut encoder, mut bytes) = (Encoder::default(), BytesMut::new());
        for frame in &frames {
            encoder.encode(frame, &mut bytes).expect("fits");
        }
        for (at, with) in changes {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let _ = decode(&mut Decoder::default(), &bytes, 1_000);
    }
}

#[test]
fn large_data_is_handed_on_in_pieces_as_it_comes() {
    let mut buffer = BytesMut::new();
    buffer.put_u32(5);
    buffer.put_u32(u32::from(FIN) << 24 | LENGTH);
    buffer.extend_from_slice(&[7; 100]);
    let mut decoder = Decoder::default();
    let first = decoder.decode(&mut buffer).expect("a frame");
    let piece = |fin, data: &[u8]| {
        let data = Bytes::copy_from_slice(data);
        Some(Frame::Data { id: 5, fin, data })
    };
    assert_eq!(first, piece(false, &[7; 100]));
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    let mut left = LENGTH as usize - 100;
    while left > 0 {
        buffer.extend_from_slice(&vec![0; left.min(50_000)]);
        while let Some(frame) = decoder.decode(&mut buffer).expect("a frame") {
            let Frame::Data { id: 5, fin, data } = frame else {
                panic!("{frame:?}");
            };
            assert!(data.len() <= MAX_PIECE);
            left -= data.len();
            assert_eq!(fin, left == 0);
        }
    }
}

#[test]
fn what_no_client_sends_is_refused() {
    let refused = |bytes: &[u8]| {
        decode(&mut Decoder::default(), bytes, bytes.len())
            .expect_err("refused")
            .0
    };
    assert_eq!(refused(&hex("8002000100000000")), "another version of SPDY");
    assert_eq!(refused(&hex("80030001ffffffff")), "a control frame that is too large");
    assert_eq!(refused(&hex("0000000000000000")), "data of stream 0");
    assert_eq!(refused(&hex("80030003000000080000000000000005")), "stream 0");
    assert_eq!(refused(&hex("800300060000000101")), "a control frame that is too short");
    assert_eq!(
        refused(&hex("800300010000000400000001")),
        "a control frame that is too short"
    );
}

#[test]
fn what_is_not_used_is_passed_over() {
    let settings = hex("800300040000000c00000001000000040000ffff");
    let window = hex("80030009000000080000000100001000");
    let unknown = hex("8003ffff0000000412345678");
    let read = decode(&mut Decoder::default(), &[settings, window, unknown].concat(), 3);
    assert_eq!(read, Ok(vec![Frame::Other, Frame::Other, Frame::Other]));
}
