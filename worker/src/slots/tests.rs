use super::*;

/// Slots of tasks that are too slow to be claimed ahead.
fn slots(concurrency: usize, cells: usize) -> Arc<Slots> {
    Slots::new("q", concurrency, false, cells)
}

/// A claim of a cell with a backlog: it takes all that there is room for.
fn claim(slots: &Slots, cell: usize) -> usize {
    let room = slots.room(cell, 1);
    slots.ask(cell, room);
    slots.answered(cell, room, room, true);
    room
}

fn in_hand(slots: &Slots, cells: usize) -> Vec<usize> {
    (0..cells).map(|cell| slots.in_hand(cell)).collect()
}

#[test]
fn one_cell_has_them_all() {
    let slots = slots(64, 1);
    assert_eq!((claim(&slots, 0), claim(&slots, 0)), (64, 0));
    slots.ended(0, None);
    assert_eq!(claim(&slots, 0), 1);
}

#[test]
fn a_lone_busy_cell_leaves_one_for_each_other() {
    let slots = slots(64, 4);
    assert_eq!(claim(&slots, 2), 61);
    assert_eq!([0, 1, 3].map(|cell| slots.room(cell, 1)), [1, 1, 1]);
}

#[test]
fn with_few_slots_none_is_kept() {
    let slots = slots(7, 4);
    assert_eq!(claim(&slots, 0), 7);
    assert_eq!(slots.room(1, 1), 0);
}

#[test]
fn what_a_claim_asks_for_is_nobody_elses_until_it_is_answered() {
    let slots = slots(8, 2);
    slots.ask(0, 7);
    assert_eq!((slots.room(0, 1), slots.room(1, 1)), (0, 1));
    slots.answered(0, 7, 2, false);
    assert_eq!(slots.room(1, 1), 6);
}

#[test]
fn who_has_more_than_its_part_takes_none_until_the_others_have_theirs() {
    let slots = slots(64, 2);
    assert_eq!((claim(&slots, 0), claim(&slots, 1)), (63, 1));
    let mut ends = 0;
    while slots.in_hand(1) < 32 {
        slots.ended(0, None);
        ends += 1;
        assert_eq!((claim(&slots, 0), claim(&slots, 1)), (0, 1));
    }
    assert_eq!((ends, in_hand(&slots, 2)), (31, vec![32, 32]));
    slots.ended(0, None);
    assert_eq!((claim(&slots, 1), claim(&slots, 0)), (0, 1));
    // the other has nothing more that waits
    slots.rests(1);
    slots.ended(1, None);
    assert_eq!(claim(&slots, 0), 1);
}

#[test]
fn a_single_slot_goes_around() {
    let slots = slots(1, 3);
    let mut served = Vec::new();
    assert_eq!(claim(&slots, 0), 1);
    // all wait from here on
    (0..3).for_each(|cell| assert_eq!(slots.room(cell, 1), 0));
    let mut holder = 0;
    for _ in 0..9 {
        slots.ended(holder, None);
        // whoever asks first
        let took: Vec<usize> = (0..3).filter(|cell| claim(&slots, *cell) == 1).collect();
        holder = took[0];
        served.extend(took);
    }
    assert_eq!(served, [1, 2, 0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn at_random_no_slot_is_given_twice_none_is_left_and_nobody_starves() {
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..200 {
        let (cells, concurrency) = (random.usize(1..6), random.usize(1..40));
        let slots = slots(concurrency, cells);
        let mut waited = vec![0; cells];
        for step in 0..500 {
            let (mut order, place) = ((0..cells).collect::<Vec<_>>(), format!("round {round}, step {step}"));
            random.shuffle(&mut order);
            // all that wait try, twice: who is told that there is room comes again
            for cell in order.iter().chain(&order) {
                if claim(&slots, *cell) > 0 {
                    waited[*cell] = 0;
                }
            }
            let held = in_hand(&slots, cells);
            assert_eq!(held.iter().sum::<usize>(), concurrency, "{place}: {held:?}");
            let busy: Vec<usize> = (0..cells).filter(|cell| held[*cell] > 0).collect();
            slots.ended(busy[random.usize(..busy.len())], None);
            for (cell, ends) in waited.iter_mut().enumerate() {
                *ends += usize::from(slots.in_hand(cell) == 0);
                assert!(*ends <= concurrency + cells, "{place}: cell {cell} has waited for {ends} ends");
            }
        }
    }
}

#[tokio::test]
async fn a_task_of_an_idle_cell_begins_at_once_while_others_hold_all_they_can() {
    let slots = slots(8, 2);
    let mut held = Vec::new();
    while !slots.are_full(0) {
        held.push(slots.take(0).await.expect("a slot"));
    }
    assert_eq!(held.len(), 7);
    let own = slots.take(1).await.expect("the kept one");
    assert!(slots.are_full(1));
    drop(own);
    drop(held.pop());
    // one of the others' slots, and the kept one
    let (_first, _second) = (slots.take(1).await.expect("a slot"), slots.take(1).await.expect("a slot"));
    assert!(slots.are_full(0) && slots.are_full(1));
}

#[tokio::test]
async fn the_kept_slot_is_the_last_that_a_cell_gives_back() {
    let slots = slots(8, 2);
    let mut held = Vec::new();
    while !slots.are_full(0) {
        held.push(slots.take(0).await.expect("a slot"));
    }
    // the first was the kept one; what becomes free is anybody's all the same
    drop(held.remove(0));
    let (_kept, _freed) = (slots.take(1).await.expect("a slot"), slots.take(1).await.expect("a slot"));
    assert!(slots.are_full(0) && slots.are_full(1));
    held.pop().expect("a slot").forget();
    assert!(slots.are_full(0), "forgotten until it is replaced");
    slots.replace(0);
    assert!(!slots.are_full(0));
}

#[tokio::test]
async fn after_the_close_nobody_waits() {
    let slots = slots(2, 1);
    let (_one, _other) = (slots.take(0).await, slots.take(0).await);
    slots.close();
    assert!(slots.take(0).await.is_none());
}
