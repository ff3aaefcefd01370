import type { CliContext } from "@cdh/core/cli";
import { CdhError } from "@cdh/core/errors";
import type { OpenedFile } from "../read/opened-file.ts";
import { commandsElsewhere, findImageTool, imageCache, imageOf, unpackImage } from "./image.ts";

/**
 * Get the crashed image's root file system through podman or docker.
 * @param tell says what is being done, and the commands to do it elsewhere
 * @returns the directory
 * @throws {CdhError} CDH_RUNTIME when there is neither program or the image cannot be had; CDH_NOT_FOUND when the bundle names none
 */
export async function imageRootOf(
  opened: OpenedFile,
  context: Pick<CliContext, "env" | "stopSignal">,
  tell: (text: string) => void,
): Promise<string> {
  const image = imageOf(opened.manifest);
  const commands = commandsElsewhere(opened.manifest, image);
  const tool = await findImageTool();
  if (tool === undefined) {
    throw new CdhError("CDH_RUNTIME", "neither podman nor docker answers here", {
      hint: `where one does: ${commands.join("  or  ")}`,
    });
  }
  tell(`unpacking ${image} with ${tool} …`);
  for (const command of commands) tell(`elsewhere: ${command}`);
  return unpackImage(tool, image, imageCache(context.env), context.stopSignal);
}
