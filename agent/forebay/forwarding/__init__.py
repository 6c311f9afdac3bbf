"""Journal to uplink: what goes next, how much is in flight, when to give up, when to try again.

Owns cursor, credit, deadlines and back-off. Must not know any uplink by name, nor how the journal
stores anything: it sees both through protocols (`interfaces.Uplink`, `journal_view.JournalView`).
"""
