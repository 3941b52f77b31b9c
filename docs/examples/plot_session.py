"""Open a recorded session with SpikeInterface and sqlite3 alone, and plot it.

    python plot_session.py SESSION [PICTURE.png]

Nothing of SpikeBridge is imported: the raw samples are Open Ephys binary, the events are SQLite.
"""

import sqlite3
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import spikeinterface.extractors as se

session = Path(sys.argv[1])
picture = Path(sys.argv[2] if len(sys.argv) > 2 else "session.png")

recording = se.read_openephys(session)
events = sqlite3.connect(f"file:{session / 'events.sqlite'}?mode=ro", uri=True)

# Own spikes carry the index of their sample; the recording begins with `first_sample`.
(first_sample,) = events.execute(
    "SELECT sample_index FROM raw_recordings WHERE event = 'started' LIMIT 1"
).fetchone()
rate_hz = recording.get_sampling_frequency()
spikes = np.array(
    events.execute(
        "SELECT sample_index, neuron, kind FROM spikes WHERE origin_seq = 0 AND sample_index >= ?",
        (first_sample,),
    ).fetchall()
).reshape(-1, 3)
print(recording)
print(f"{len(spikes)} spikes of {len(set(spikes[:, 1]))} neurons")

# Half a second around the first spike, of the channel that is largest there.
seconds = (spikes[:, 0] - first_sample) / rate_hz
start = max(0, int((seconds[0] - 0.1) * rate_hz)) if len(seconds) else 0
traces = recording.get_traces(
    start_frame=start,
    end_frame=min(start + int(0.5 * rate_hz), recording.get_num_samples(segment_index=0)),
    segment_index=0,
    return_in_uV=True,
)
channel = int(np.argmin(traces.min(axis=0)))
times = (start + np.arange(len(traces))) / rate_hz

figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(10, 7), layout="constrained")
top.plot(times, traces[:, channel], linewidth=0.6)
top.set_ylabel(f"{recording.channel_ids[channel]} (uV)")
top.set_xlabel("time in the recording (s)")
for kind, label in ((0, "PSP delivered"), (1, "stimulated spike"), (2, "spontaneous spike")):
    chosen = seconds[spikes[:, 2] == kind]
    middle.eventplot(chosen, lineoffsets=kind, linelengths=0.7, color=f"C{kind}")
    middle.text(
        0.01, kind + 0.4, f"{label} ({len(chosen)})", transform=middle.get_yaxis_transform()
    )
middle.set_yticks([])
middle.set_ylim(-0.6, 2.9)
middle.set_xlabel("time in the recording (s)")
verdicts = events.execute(
    "SELECT CASE verdict WHEN 'refusal' THEN reason ELSE verdict END, count(*) "
    "FROM audit WHERE kind = 'request' GROUP BY 1 ORDER BY 2 DESC"
).fetchall()
bottom.barh([word for word, _ in verdicts], [count for _, count in verdicts])
bottom.set_xlabel("requests")
figure.suptitle(session.name)
figure.savefig(picture, dpi=110)
events.close()
