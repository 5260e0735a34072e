use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;

/// More than may wait for whoever listens.
const EVENTS: usize = 3 * QUEUE;

/// One that starts whatever is asked for, says a lot of it, and hangs up when its client does.
fn init() -> (InitClient, TempDir) {
    let folder = tempfile::tempdir().expect("a directory");
    let socket = folder.path().join("init");
    let listener = UnixListener::bind(&socket).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                receive::<Request>(&mut connection).await?;
                send(&mut connection, &Reply::Started { pid: 7 }).await?;
                for _ in 0..EVENTS {
                    let said = Reply::Stdout(b"said".as_slice().into());
                    send(&mut connection, &said).await?;
                }
                receive::<Request>(&mut connection).await.map(drop)
            });
        }
    });
    (InitClient::new(socket), folder)
}

/// One that says something, and half of the next thing, of which the rest comes when its client has hung up.
fn slow_init() -> (InitClient, TempDir) {
    let folder = tempfile::tempdir().expect("a directory");
    let socket = folder.path().join("init");
    let listener = UnixListener::bind(&socket).expect("a socket");
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await?;
        receive::<Request>(&mut connection).await?;
        let said = [Reply::Stdout("at once".into()), Reply::Stdout("in two halves".into())];
        let mut all = Vec::new();
        send(&mut all, &Reply::Started { pid: 7 }).await?;
        for reply in said {
            send(&mut all, &reply).await?;
        }
        let (at_once, later) = all.split_at(all.len() - "halves".len());
        connection.write_all(at_once).await?;
        receive::<Request>(&mut connection).await?;
        connection.write_all(later).await
    });
    (InitClient::new(socket), folder)
}

async fn followed(client: &InitClient) -> Followed {
    let followed = client.follow("begin", Request::Connect { pid: 7 }).await;
    followed.expect("begun")
}

async fn listened(client: &InitClient) -> ProcessStream {
    let listened = client.listen("begin", Request::Connect { pid: 7 }).await;
    listened.expect("begun")
}

#[tokio::test]
async fn a_hang_up_waits_until_whoever_follows_has_taken_all() {
    let (client, _folder) = init();
    let mut followed = followed(&client).await;
    let hanging_up = client.clone();
    let mut hung_up = tokio::spawn(async move { hanging_up.hang_up().await });
    let mut taken = 0;
    while followed.stream.events.recv().await.is_some() {
        taken += 1;
    }
    assert_eq!(taken, EVENTS);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut hung_up).await;
    assert!(early.is_err(), "whoever followed may still be at the last of it");
    drop(followed);
    tokio::time::timeout(LOOK_LIMIT, hung_up)
        .await
        .expect("in time")
        .expect("hung up");
}

#[tokio::test]
async fn what_a_hang_up_finds_half_read_is_passed_on_whole() {
    let (client, _folder) = slow_init();
    let mut followed = followed(&client).await;
    let first = followed.stream.events.recv().await;
    assert_eq!(first, Some(ProcessEvent::Stdout("at once".into())));
    let hanging_up = client.clone();
    let hung_up = tokio::spawn(async move { hanging_up.hang_up().await });
    let second = followed.stream.events.recv().await;
    assert_eq!(second, Some(ProcessEvent::Stdout("in two halves".into())));
    assert_eq!(followed.stream.events.recv().await, None);
    drop(followed);
    hung_up.await.expect("hung up");
}

#[tokio::test]
async fn a_hang_up_gives_up_on_a_client_that_does_not_read_and_the_next_one_is_heard() {
    let (client, _folder) = init();
    let mut unread = listened(&client).await;
    let hung_up = tokio::time::timeout(LOOK_LIMIT, client.hang_up()).await;
    drop(hung_up.expect("in time"));
    let mut heard = 0;
    while unread.events.recv().await.is_some() {
        heard += 1;
    }
    assert!((QUEUE..EVENTS).contains(&heard), "{heard}");
    let mut next = listened(&client).await;
    for _ in 0..EVENTS {
        assert!(next.events.recv().await.is_some(), "nobody has hung up");
    }
}

#[tokio::test]
async fn a_hang_up_that_nobody_waits_for_any_more_leaves_others_heard() {
    let (client, _folder) = init();
    let followed = followed(&client).await;
    let given_up = tokio::time::timeout(Duration::from_millis(20), client.hang_up()).await;
    assert!(given_up.is_err(), "somebody follows");
    drop(followed);
    let mut next = listened(&client).await;
    for _ in 0..EVENTS {
        assert!(next.events.recv().await.is_some(), "nobody has hung up");
    }
}
