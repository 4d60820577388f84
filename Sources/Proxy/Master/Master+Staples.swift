import Config
import Logging
import Platform
import TLS

/// What authorities say of certificates, and where it goes.
extension Master {
    /// The files that the stapler needs: chains and answers, no key.
    func forStapling(_ bundle: Bundle) -> Bundle {
        var names = Set(configuration.certificates.map { CertificateStore.chainName($0.name) })
        names.formUnion(configuration.certificates.map { CertificateStore.stapleName($0.name) })
        return Bundle(
            file: bundle.file,
            tree: bundle.tree,
            resources: bundle.resources.filter { names.contains($0.key) }
        )
    }

    /// Keeps an answer for workers that follow, and tells those that there are.
    func spread(_ update: StapleUpdate) {
        // A stapler speaks of what it was given to ask about, and of nothing else.
        guard let before = staples[update.fingerprint] else { return }
        staples[update.fingerprint] = update
        if update.staple != before.staple {
            for worker in workers {
                worker.tell(.staple, update.encoded())
                worker.flush(poller)
            }
        }
        for helper in helpers where helper.kind == .monitor {
            helper.tell(.staple, update.encoded())
            helper.flush(poller)
        }
        tell(update, before)
    }

    /// Each state, and each reason, once: a responder may be down for days.
    private func tell(_ update: StapleUpdate, _ before: StapleUpdate) {
        var metadata: Logger.Metadata = ["certificate": "\(update.certificate)"]
        if !update.failure.isEmpty { metadata["reason"] = "\(update.failure)" }
        guard let staple = update.staple else {
            let isNews = before.staple != nil || before.failure != update.failure
            if update.mustStaple, isNews {
                log.error(
                    "there is no OCSP answer to staple, which the certificate demands: browsers refuse it",
                    metadata: metadata
                )
            } else if before.staple != nil {
                log.error("the OCSP answer has run out, nothing is stapled any more", metadata: metadata)
            } else if isNews {
                log.warning("there is no OCSP answer to staple; asking goes on", metadata: metadata)
            }
            return
        }
        metadata["good until"] = "\(ExpiringItem.day(staple.nextUpdate))"
        if staple.status == .revoked {
            if before.staple?.status != .revoked {
                log.critical("the certificate is revoked, and clients are told: replace it now", metadata: metadata)
            }
        } else if !update.failure.isEmpty {
            if before.failure.isEmpty {
                log.warning(
                    "there is no newer OCSP answer; the present one stays until it runs out",
                    metadata: metadata
                )
            }
        } else if before.staple?.status != .good || !before.failure.isEmpty {
            log.notice("an OCSP answer is stapled", metadata: metadata)
        }
    }

    /// Tells a new stapler what is known, and forgets certificates that are gone.
    func tellOfStaples(_ helper: HelperProcess) {
        for update in staples.values { helper.tell(.staple, update.encoded()) }
    }

    /// Other certificates are shown: a stapler asks about those that it was started with.
    func restartStapler() {
        for helper in helpers where helper.kind == .stapler { end(helper) }
        startHelpers()
    }

    /// Says which certificates are asked about from now on; what is known of them stays.
    func expectStaples(_ subjects: [StaplerTask.Subject]) {
        let before = staples
        staples = [:]
        for subject in subjects {
            let fingerprint = subject.asked.facts.fingerprint
            staples[fingerprint] =
                before[fingerprint]
                ?? StapleUpdate(
                    fingerprint: fingerprint,
                    certificate: subject.name,
                    mustStaple: subject.asked.mustStaple
                )
        }
    }
}
