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

if len(sys.argv) < 2:
    sys.exit("usage: python plot_session.py SESSION [PICTURE.png]")
session = Path(sys.argv[1])
picture = Path(sys.argv[2] if len(sys.argv) > 2 else "session.png")
if not (session / "events.sqlite").is_file():
    sys.exit(f"{session}: no events.sqlite in it; name a session's folder")
if not any(session.glob("Record Node */experiment*/recording*/structure.oebin")):
    sys.exit(f"{session}: no raw samples to plot, they were not recorded; its events are whole")

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

# The first spike that was fired (0 is a PSP's delivery), and the samples around it. Its channel is
# the one that is lowest there; electrodes that were stimulated carry the artefact, others first.
n_samples = recording.get_num_samples(segment_index=0)
fired = spikes[(spikes[:, 2] != 0) & (spikes[:, 0] < first_sample + n_samples)]
shown = fired[0, 0] - first_sample if len(fired) else 0
start, end = max(0, shown - int(0.1 * rate_hz)), shown + int(0.4 * rate_hz)
traces = recording.get_traces(
    start_frame=start,
    end_frame=min(end, n_samples),
    segment_index=0,
    return_in_uV=True,
)
stimulated = {name for (name,) in events.execute("SELECT DISTINCT target FROM doses")}
quiet = [n for n, name in enumerate(recording.channel_ids) if name not in stimulated]
quiet = quiet or list(range(len(recording.channel_ids)))
at = slice(max(0, shown - start - 10), shown - start + 10)
channel = quiet[int(np.argmin(traces[at][:, quiet].min(axis=0)))]
depth_uv = max(50.0, -traces[at, channel].min())
seconds = (spikes[:, 0] - first_sample) / rate_hz
times = (start + np.arange(len(traces))) / rate_hz

figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(10, 7), layout="constrained")
top.plot(times, traces[:, channel], linewidth=0.6)
fired_s = (fired[:, 0] - first_sample) / rate_hz
top.plot(fired_s, np.full(len(fired_s), -1.3 * depth_uv), "^", markersize=5)
top.set_xlim(times[0], times[-1])
top.set_ylim(-1.5 * depth_uv, 1.5 * depth_uv)  # an artefact may reach beyond
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
bottom.barh([word for word, _ in verdicts], [count for _, count in verdicts], height=0.5)
bottom.set_ylim(-1, len(verdicts))
bottom.set_xlabel("requests")
figure.suptitle(session.name)
figure.savefig(picture, dpi=110)
events.close()
