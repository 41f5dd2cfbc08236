// Package dockerfile reads Dockerfiles as the builder does, with BuildKit's own parser,
// and answers two questions about an image before anything is built:
//
//   - What is it made of? Needs follows FROM, COPY --from and RUN --mount=from from the
//     stage that is built and collects the instructions, the files of the context and the
//     images that it comes from. Stages that the image does not need do not count.
//   - Does it keep the rules of the family? Check names each line that does not.
//
// It reads text; it runs no builder and opens no file.
package dockerfile
