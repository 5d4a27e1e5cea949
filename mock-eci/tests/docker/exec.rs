//! Commands in real containers.

use std::time::Duration;

use mock_eci::runtime::{
    Runtime, RuntimeError,
    exec::{CommandLine, ExecOutput, ExecRequest, ExecStreams, TerminalSize},
};

use crate::bed::{Bed, group, on_bed, shell};

fn request(command: &[&str]) -> ExecRequest {
    ExecRequest {
        container: "main".into(),
        instance: 0,
        command: CommandLine(command.iter().map(|&word| word.to_owned()).collect()),
        tty: false,
        stdin: true,
    }
}

async fn run(bed: &Bed, request: ExecRequest) -> ExecStreams {
    bed.runtime.exec(&bed.group, request).await.unwrap()
}

/// Standard output, standard error and exit code, once the command has ended.
async fn to_end(mut streams: ExecStreams) -> (Vec<u8>, Vec<u8>, i32) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let all = async {
        loop {
            match streams.output.recv().await.expect("an end") {
                ExecOutput::Stdout(data) => out.extend_from_slice(&data),
                ExecOutput::Stderr(data) => err.extend_from_slice(&data),
                ExecOutput::Ended(code) => return code.unwrap(),
            }
        }
    };
    let code = tokio::time::timeout(Duration::from_secs(90), all)
        .await
        .expect("it ends");
    (out, err, code)
}

async fn output(bed: &Bed, command: &[&str]) -> (String, String, i32) {
    let (out, err, code) = to_end(run(bed, request(command)).await).await;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), code)
}

/// A bed whose container `main` sleeps.
async fn sleeping(bed: &mut Bed) {
    bed.launch(group(vec![shell("main", "exec sleep 100000")])).await;
    bed.start("main", 0).await;
}

#[test]
fn exec_gives_streams_and_exit_codes() {
    on_bed(async |mut bed| {
        sleeping(&mut bed).await;
        let script = "echo out; echo err >&2; exit 7";
        assert_eq!(
            output(&bed, &["sh", "-c", script]).await,
            ("out\n".into(), "err\n".into(), 7)
        );
        assert_eq!(output(&bed, &["true"]).await, (String::new(), String::new(), 0));
        let (out, err, code) = output(&bed, &["no-such-program"]).await;
        // Docker says 126.
        assert!(matches!(code, 126 | 127), "{code}: {out}{err}");
        assert!(format!("{out}{err}").contains("no-such-program"), "{out}{err}");
        let (out, _, code) = output(&bed, &["sh", "-c", "kill -9 $$"]).await;
        assert_eq!((&*out, code), ("", 137));
    });
}

#[test]
fn exec_takes_a_megabyte_and_gives_it_back_unchanged() {
    on_bed(async |mut bed| {
        sleeping(&mut bed).await;
        let data: Vec<u8> = (0..1_000_000_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let mut streams = run(&bed, request(&["cat"])).await;
        let stdin = streams.stdin.take().unwrap();
        let chunks: Vec<_> = data.chunks(70_000).map(|chunk| chunk.to_vec()).collect();
        // Dropped when all is sent: that ends the command's input, and with it the command.
        let sent = tokio::spawn(async move {
            for chunk in chunks {
                stdin.send(chunk.into()).await.unwrap();
            }
        });
        let (out, _, code) = to_end(streams).await;
        sent.await.unwrap();
        assert_eq!((out.len(), code), (data.len(), 0));
        assert!(out == data, "the bytes differ");

        let without = ExecRequest {
            stdin: false,
            ..request(&["cat"])
        };
        assert_eq!(to_end(run(&bed, without).await).await.2, 0, "no input ends at once");
        let mut closed = run(&bed, request(&["sh", "-c", "exec 0<&-; sleep 1; exit 5"])).await;
        let stdin = closed.stdin.take().unwrap();
        let flood = tokio::spawn(async move { while stdin.send(vec![0; 65_536].into()).await.is_ok() {} });
        // What it prints is the engine's to keep: podman may drop the connection once input meets a closed pipe.
        let (_, _, code) = to_end(closed).await;
        assert_eq!(code, 5, "input that nobody reads harms nobody");
        flood.await.unwrap();
    });
}

#[test]
fn exec_has_a_terminal_of_the_size_it_is_given() {
    on_bed(async |mut bed| {
        sleeping(&mut bed).await;
        let script = "test -t 0 && test -t 1 && echo terminal; until [ \"$(stty size 2>/dev/null)\" = '33 99' ]; do sleep 0.1; done; echo sized >&2; exit 3";
        let streams = run(
            &bed,
            ExecRequest {
                tty: true,
                ..request(&["sh", "-c", script])
            },
        )
        .await;
        streams.size.send_replace(Some(TerminalSize { width: 99, height: 33 }));
        let (out, err, code) = to_end(streams).await;
        assert_eq!(
            (String::from_utf8(out).unwrap(), err, code),
            ("terminal\r\nsized\r\n".into(), Vec::new(), 3)
        );
        // End of input is a character here.
        let streams = run(
            &bed,
            ExecRequest {
                tty: true,
                ..request(&["cat"])
            },
        )
        .await;
        let stdin = streams.stdin.clone().unwrap();
        stdin.send("hello\n\u{4}".into()).await.unwrap();
        let (out, _, code) = to_end(streams).await;
        assert_eq!(
            (String::from_utf8(out).unwrap(), code),
            ("hello\r\nhello\r\n".into(), 0),
            "echoed, then copied"
        );
    });
}

#[test]
fn exec_ends_with_its_caller_and_with_its_container() {
    on_bed(async |mut bed| {
        sleeping(&mut bed).await;
        // What reads no input does not end by itself.
        let mut streams = run(&bed, request(&["sh", "-c", "echo started; sleep 4321; echo never"])).await;
        assert_eq!(
            streams.output.recv().await,
            Some(ExecOutput::Stdout("started\n".into()))
        );
        let count = "grep -l 4321 /proc/[0-9]*/cmdline 2>/dev/null | grep -v \"^/proc/$$/\" | wc -l";
        let processes = async || {
            output(&bed, &["sh", "-c", count])
                .await
                .0
                .trim()
                .parse::<u32>()
                .unwrap()
        };
        assert!(processes().await >= 1);
        drop(streams);
        let gone = async {
            // grep's own command line has the number too.
            while processes().await > 1 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), gone)
            .await
            .expect("it was killed");

        let streams = run(&bed, request(&["sleep", "1234"])).await;
        bed.runtime.stop_container(&bed.group, "main", Duration::ZERO);
        assert_eq!(bed.exit("main", 0).await.code, 137);
        assert_ne!(to_end(streams).await.2, 0);
        let late = bed.runtime.exec(&bed.group, request(&["true"])).await;
        assert!(matches!(late, Err(RuntimeError::NotFound)), "{late:?}");
        let stranger = ExecRequest {
            container: "other".into(),
            ..request(&["true"])
        };
        assert!(matches!(
            bed.runtime.exec(&bed.group, stranger).await,
            Err(RuntimeError::NotFound)
        ));
    });
}
