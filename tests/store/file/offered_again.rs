//! Tasks whose route is configured again while the process runs.

use crate::harness::{Kind, Place, adopt_all, ids, insert, insist};

#[tokio::test]
async fn the_tasks_of_before_the_start_are_offered_again_and_no_others() {
    let place = Place::new(Kind::File);
    let store = place.open().await;
    let before = insert(&*store, 5).await;
    let store = place.reopen(store).await;
    let adopted = adopt_all(&*store, 2, 5).await;
    insert(&*store, 3).await;
    assert!(insist(async || store.adopt(10).await).await.is_empty());
    insist(async || store.remove(adopted[0].id).await).await;
    store.offer_again().await;
    let again = adopt_all(&*store, 2, 4).await;
    let mut expected = ids(&before, |task| task.id);
    expected.retain(|id| *id != adopted[0].id);
    assert_eq!(ids(&again, |record| record.id), expected);
    assert!(insist(async || store.adopt(10).await).await.is_empty());
}
