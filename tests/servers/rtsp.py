"""An RTSP server of GStreamer's, for tests: JPEG pictures of a folder, again and again, at /camera.

    /usr/bin/python3 tests/servers/rtsp.py PORT "FOLDER/%03d.jpg" FRAMES_PER_SECOND

Runs in the system's Python: Debian's gir1.2-gst-rtsp-server-1.0, python3-gi and the base and good plugins.
"""

from __future__ import annotations

import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


def main(port: str, pattern: str, rate: str) -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory: Any = GstRtspServer.RTSPMediaFactory.new()
    pictures = f'multifilesrc location="{pattern}" loop=true caps="image/jpeg,framerate={rate}/1"'
    factory.set_launch(f"( {pictures} ! jpegdec ! videoconvert ! jpegenc quality=95 ! rtpjpegpay name=pay0 )")
    factory.set_shared(True)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
