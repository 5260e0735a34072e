//! The order of mutating webhooks: once through, and once more for those that want to see what later ones changed.
//! Follows `k8s.io/apiserver/pkg/admission/plugin/webhook/mutating/reinvocationcontext.go`.

/// Which webhooks are asked again, by their places in the order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reinvocation {
    /// Asked, and want to be asked again should the object change.
    satisfied: Vec<usize>,
    again: Vec<usize>,
}

impl Reinvocation {
    /// Notes that a webhook was asked, and whether it changed the object.
    pub(super) fn note(&mut self, place: usize, changed: bool, reinvoked: bool) {
        if changed {
            self.again.append(&mut self.satisfied);
        }
        if reinvoked {
            self.satisfied.push(place);
        }
    }

    /// Those to ask again, in order.
    pub(super) fn again(mut self) -> Vec<usize> {
        self.again.sort_unstable();
        self.again
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(asked: &[(bool, bool)]) -> Vec<usize> {
        let mut reinvocation = Reinvocation::default();
        for (place, (changed, reinvoked)) in asked.iter().enumerate() {
            reinvocation.note(place, *changed, *reinvoked);
        }
        reinvocation.again()
    }

    #[test]
    fn only_a_webhook_that_wants_it_and_was_overtaken_by_a_change_is_asked_again() {
        let (unchanged, changed) = (false, true);
        let (once, reinvoked) = (false, true);
        assert_eq!(again(&[(changed, reinvoked), (changed, once)]), [0]);
        assert_eq!(again(&[(changed, once), (changed, once)]), Vec::<usize>::new());
        assert_eq!(
            again(&[(changed, reinvoked), (unchanged, reinvoked)]),
            Vec::<usize>::new()
        );
        assert_eq!(
            again(&[(unchanged, reinvoked), (changed, reinvoked), (changed, once)]),
            [0, 1]
        );
    }
}
