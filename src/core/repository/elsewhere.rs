//! Other users of a repository: accounts that can pull from it, and registries with replicas that ECR deletes too.

use std::collections::HashSet;

use super::{Standards, Study};
use crate::replication::Replica;
use crate::retention::{self, KeepReason};
use crate::sharing::Pullers;
use crate::warning;

impl Study<'_> {
    pub(super) fn learn_pullers(&mut self, pullers: Pullers) {
        let Standards { place, settings, usage, .. } = self.standards;
        if let Some(unseen) = pullers.unseen(&usage.accounts, &settings.accept_unseen_accounts) {
            if let Some(decisions) = &mut self.decisions {
                decisions.keep_whole(KeepReason::SharedElsewhere);
            }
            self.warnings.push(warning::shared_elsewhere(place, self.repository_name, &unseen));
        }
        self.pullers = Some(pullers);
    }

    /// An image and the replicas that ECR deletes with it count as one image: a reason to keep one of them keeps all.
    pub(super) fn learn_replicas(&mut self, replicas: Vec<Replica>) {
        let Standards { place, settings, usage, .. } = self.standards;
        let (mut held, mut unread, mut read) = (HashSet::new(), Vec::new(), Vec::new());
        if let Some(decisions) = &self.decisions {
            let known = self.known();
            for Replica { place: elsewhere, copies } in replicas {
                match copies {
                    Ok(copies) => {
                        let usage = usage.known().of_repository(&elsewhere.account, self.repository_name);
                        held.extend(retention::held_by_copies(&known, &settings.rules, decisions, &copies, &usage));
                        read.push((elsewhere, copies.images));
                    }
                    Err(why) if !settings.accept_unseen_accounts.cover_copies(&elsewhere.account, &place.account) => {
                        unread.push((elsewhere, why));
                    }
                    Err(_) => {}
                }
            }
        }
        let none_is_held = held.is_empty();
        self.replicated = Some(held);
        self.copies = read;
        let mut decisions = match self.decisions.take() {
            // No replica keeps an image here, so the decisions stay the same.
            Some(decisions) if none_is_held => decisions,
            _ => retention::decide(&self.known(), &settings.rules),
        };
        if !unread.is_empty() {
            decisions.keep_whole(KeepReason::Replicated);
            self.warnings.push(warning::replicas_unread(place, self.repository_name, &unread));
        }
        self.decisions = Some(decisions);
    }
}
