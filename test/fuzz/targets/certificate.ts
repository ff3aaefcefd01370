import { X509Certificate } from "node:crypto";
import { commonNameOf } from "../../../packages/cdh-api/src/auth/front-proxy.ts";
import { subjectRecipe, writeCertificate } from "../grammar/certificate.ts";
import { defineTarget, must } from "../target.ts";

/** Certificates: the name by which the front proxy is known is the one and only common name, whatever else is in it. */
export const certificateTarget = defineTarget({
  name: "certificate",
  what: "client certificates whose subjects imitate the front proxy's",
  recipes: subjectRecipe,
  build: (subject) => ({ subject, der: writeCertificate(subject) }),
  bytesOf: ({ der }) => der,
  run: ({ subject, der }) => {
    let certificate: X509Certificate;
    try {
      certificate = new X509Certificate(der);
    } catch {
      // What OpenSSL refuses never gets as far as a name.
      return;
    }
    const name = commonNameOf(certificate);
    if (name !== "front-proxy-client") return;
    const names = subject.filter(({ type }) => type === "CN");
    must(names.length === 1 && names[0]?.text === name, `${JSON.stringify(names)} passes for ${name}`);
  },
});
