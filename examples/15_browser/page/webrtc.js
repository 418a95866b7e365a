// Speech over WebRTC, straight to the API. The server answers the offer with its own key; events come by a data channel.
export async function overWebRtc(microphone, { on, over }) {
  const peer = new RTCPeerConnection();
  const speaker = new Audio();
  speaker.autoplay = true;
  peer.ontrack = (event) => { [speaker.srcObject] = event.streams; };
  peer.onconnectionstatechange = () => {
    if (["failed", "disconnected"].includes(peer.connectionState)) over("The connection was lost.");
  };
  microphone.getTracks().forEach((track) => peer.addTrack(track, microphone));
  peer.createDataChannel("oai-events").onmessage = (message) => on(JSON.parse(message.data));

  const close = () => {
    microphone.getTracks().forEach((track) => track.stop());
    peer.close();
  };
  try {
    await peer.setLocalDescription();
    const headers = { "Content-Type": "application/sdp" };
    const answer = await fetch("session", { method: "POST", headers, body: peer.localDescription.sdp });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}
