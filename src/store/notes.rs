//! Notes, as the writer writes them: many in one transaction, and then the seats of those who have come without one.

use super::{
    db::{Db, catch_up},
    error::Error,
    note::Note,
};
use crate::domain::{ids::SessionNumber, time::Timestamp};

/// Writes notes, whether the store is away or not. Returns the sessions that are open and for which there is no seat.
pub(super) async fn write(db: &Db, now: Timestamp, notes: &[&Note]) -> Result<Vec<SessionNumber>, Error> {
    let opened = catch_up!(db, notes::write_notes(&db.gateway, now, notes))?;
    let mut without_seat = Vec::new();
    for (session, at) in opened {
        let seated = catch_up!(db, notes::seat_again(&db.gateway, now, session, at));
        // The notes are written. Of whom the store cannot say it now, it is asked later.
        if !seated.unwrap_or(false) {
            without_seat.push(session);
        }
    }
    Ok(without_seat)
}
