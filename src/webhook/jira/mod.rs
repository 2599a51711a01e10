use super::delivery::Delivery;
use super::understood::{NotUnderstood, Telling, Understood};
pub(super) fn tell(delivery: &Delivery) -> Result<Understood, NotUnderstood> {
    Ok(Telling::new(delivery, "x", String::new()).finish())
}
